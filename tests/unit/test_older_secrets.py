"""Secrets of an installation that began with an older release."""

import json
from pathlib import Path

from tenantry.data_folder.secrets import NATS_USERS, load_or_create


def test_a_user_of_nats_that_is_new_gets_a_password_and_the_others_keep_theirs(
    tmp_path: Path,
) -> None:
    path = tmp_path / "secrets.json"
    before = load_or_create(path)
    content = json.loads(path.read_text())
    del content["nats"]["subscriber"]
    path.write_text(json.dumps(content))
    found = load_or_create(path)
    assert set(found.nats) == set(NATS_USERS)
    assert all(found.nats[user] == before.nats[user] for user in content["nats"])
    assert load_or_create(path) == found
    assert path.stat().st_mode & 0o777 == 0o600
