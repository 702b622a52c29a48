"""Processes that are forked from one which has made identifiers itself."""

import os
import secrets

from contracts.ids import new_id

MADE = 100


def test_forked_processes_make_identifiers_and_secrets_of_their_own() -> None:
    made = {new_id("usr"), secrets.token_hex(13)}
    for _ in range(3):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            own = (
                each for _ in range(MADE) for each in (new_id("usr")[-15:], secrets.token_hex(8))
            )
            os.write(writing, "\n".join(own).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as file:
            own_made = file.read().splitlines()
        os.waitpid(pid, 0)
        assert len(own_made) == 2 * MADE
        assert not made & set(own_made)
        made |= set(own_made)
