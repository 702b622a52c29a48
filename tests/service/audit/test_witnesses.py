"""Witnesses cosign what continues what they saw; what they refuse is not signed."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from audit import note
from audit.checkpoints import Checkpoints
from audit.note import VerifierKey
from chassis.database import Pool
from contracts import audit as calls
from contracts.ids import new_id
from pydantic import ValidationError
from support.owner import Owner, audit_settings, heard
from support.witness import Witness, running_witness
from tenantry.servers import Servers


@pytest.fixture
async def witness() -> AsyncIterator[Witness]:
    async with running_witness() as running:
        yield running


class Signing:
    """A tenant whose trail is signed, and shown to a witness."""

    def __init__(self, audit: Owner, servers: Servers, receive: Any, witnesses: str) -> None:
        self.audit, self.receive, self.tenant = audit, receive, new_id("ten")
        settings = audit_settings(servers, audit_witnesses=witnesses)
        self.checkpoints = Checkpoints(audit.pool, settings, lambda: None)

    async def grow(self, count: int) -> None:
        events = [heard(self.tenant, "user.created", new_id("usr")) for _ in range(count)]
        await self.receive(*events)
        await self.checkpoints.sign_pending()

    async def note(self) -> str:
        answer = await self.audit.call(calls.GET_CHECKPOINT, self.tenant)
        return str(answer.reply.body.decode())


@pytest.fixture
def signing(audit: Owner, servers: Servers, receive, witness: Witness) -> Signing:
    return Signing(audit, servers, receive, witness.setting)


async def test_a_checkpoint_is_cosigned_and_continues_what_the_witness_saw(
    signing: Signing, witness: Witness
) -> None:
    for count in (3, 300, 5):
        await signing.grow(count)
        signed = await signing.note()
        assert note.verify(signed, [VerifierKey.parse(witness.key)]) == note.parse(signed)
    keys = await signing.audit.call(calls.GET_CHECKPOINT_KEYS, signing.tenant)
    ours = [VerifierKey.parse(keys.reply.body.decode())]
    assert note.verify(await signing.note(), ours).size == 308
    told = (await signing.audit.events(signing.tenant))[-1]
    assert told["data"]["checkpoint"] == await signing.note()


async def test_a_witness_that_missed_some_is_shown_how_the_trail_went_on(
    signing: Signing, witness: Witness
) -> None:
    await signing.grow(3)
    seen = dict(witness.seen)
    await signing.grow(4)
    witness.seen = seen  # as one that was away
    await signing.grow(5)
    cosigned = note.verify(await signing.note(), [VerifierKey.parse(witness.key)])
    assert cosigned.size == 12


@pytest.mark.parametrize("behaviour", ["absent", "broken"])
async def test_a_witness_that_fails_delays_nobody(
    signing: Signing, witness: Witness, behaviour: str
) -> None:
    if behaviour == "broken":
        witness.broken = True
    else:
        witness.url = "http://127.0.0.1:9"
        settings = signing.checkpoints.settings
        signing.checkpoints.settings = settings.model_copy(
            update={"audit_witnesses": witness.setting}
        )
    neighbour = new_id("ten")
    await signing.receive(heard(neighbour, "user.created", new_id("usr")))
    await signing.grow(3)
    assert witness.asked <= 1, "not asked again in the same round"
    for tenant in (signing.tenant, neighbour):
        answer = await signing.audit.call(calls.GET_CHECKPOINT, tenant)
        assert note.parse(answer.reply.body.decode()).size
    assert not {signing.tenant, neighbour} & signing.checkpoints.doubted.keys()


@pytest.mark.parametrize("more", [1, 20])
async def test_a_database_that_was_rolled_back_is_refused_by_the_witness(
    signing: Signing, witness: Witness, database: Pool, more: int
) -> None:
    """No checkpoint is left in it that would tell: the witness remembers."""
    await signing.grow(3)
    head = await database.fetchrow(
        "SELECT sequence, digest FROM heads WHERE tenant_id = $1", signing.tenant
    )
    await signing.grow(6)
    kept = await signing.note()
    for table in ("events", "personal", "tiles"):
        condition = "index >= 0" if table == "tiles" else "sequence > 3"
        await database.execute(
            f"DELETE FROM {table} WHERE tenant_id = $1 AND {condition}", signing.tenant
        )
    await database.execute(
        "UPDATE heads SET sequence = $2, digest = $3 WHERE tenant_id = $1",
        *(signing.tenant, *head),
    )
    await database.execute("DELETE FROM signed_checkpoints WHERE tenant_id = $1", signing.tenant)
    await signing.grow(more)
    assert "witness.test/w1" in signing.checkpoints.doubted[signing.tenant]
    answer = await signing.audit.call(calls.GET_CHECKPOINT, signing.tenant)
    assert (answer.status, note.parse(kept).size) == (404, 9)
    await database.execute("DELETE FROM pending_checkpoints WHERE tenant_id = $1", signing.tenant)


def test_settings_of_witnesses_are_checked(servers: Servers, witness: Witness) -> None:
    for wrong in ("https://w.test", f"ftp://w.test {witness.key}", f"{witness.setting}x"):
        with pytest.raises(ValidationError):
            audit_settings(servers, audit_witnesses=wrong)
