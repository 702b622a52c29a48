"""Verifying an access token: what is forged, late or revoked is known, and nothing is written."""

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import jwt
import pytest
from chassis.database import open_pool
from contracts import signing_keys as signing_calls
from contracts import users as user_calls
from contracts.ids import new_id
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from identity import access_tokens, retention
from identity.activity import Activity
from service.identity.people import People, settled
from support.owner import Owner

INVALID = {"valid": False, "code": "invalid", "claims": None, "session": None}


def _again(token: str, **claims: Any) -> str:
    """The same token with other claims, and with the signature that it had."""
    head, payload, signature = token.split(".")
    read = json.loads(base64.urlsafe_b64decode(payload + "=="))
    changed = json.dumps({**read, **claims}).encode()
    return f"{head}.{base64.urlsafe_b64encode(changed).decode().rstrip('=')}.{signature}"


async def test_a_good_token_is_valid_for_its_own_tenant(
    people: People, identity: Owner, projects: Owner
) -> None:
    user = await people.new_user()
    begun = await people.session(user)
    verdict = await people.verify(begun["access_token"])
    assert (verdict["valid"], verdict["code"]) == (True, "valid")
    assert (verdict["claims"]["sub"], verdict["session"]) == (user, begun["session"])
    other = await settled(identity, projects)
    assert await people.verify(begun["access_token"], other.tenant) == INVALID


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
async def test_every_algorithm_verifies(people: People, algorithm: str) -> None:
    project = await people.new_project(signing_algorithm=algorithm)
    begun = await people.session(await people.new_user(), project_id=project)
    assert jwt.get_unverified_header(begun["access_token"])["alg"] == algorithm
    assert (await people.verify(begun["access_token"]))["code"] == "valid"


async def test_what_nobody_signed_is_invalid(people: People) -> None:
    user = await people.new_user()
    begun, other = await people.session(user), await people.session(user)
    token = begun["access_token"]
    head, payload, signature = token.split(".")
    claims = jwt.decode(token, options={"verify_signature": False})
    kid = jwt.get_unverified_header(token)["kid"]
    mine = Ed25519PrivateKey.generate()
    deep = base64.urlsafe_b64encode(b"[" * 4000).decode()
    for forged in (
        _again(token, sid=other["session"]["id"]),
        _again(token, exp=int(time.time()) + 10**6),
        _again(token, sid=["x"]),
        _again(token, sid="ses_\0"),
        f"{head}.{payload}.{other['access_token'].split('.')[2]}",
        f"{head}.{payload}.",
        jwt.encode(claims, mine, algorithm="EdDSA", headers={"kid": kid}),
        jwt.encode(claims, mine, algorithm="EdDSA", headers={"kid": new_id("sgk")}),
        jwt.encode(claims, "secret" * 10, algorithm="HS256", headers={"kid": kid}),
        jwt.encode(claims, None, algorithm="none", headers={"kid": kid}),
        jwt.encode(claims, mine, algorithm="EdDSA"),
        f"{deep}.{payload}.{signature}",
        f"{head}.{deep}.{signature}",
        begun["refresh_token"],
        "nonsense",
    ):
        assert await people.verify(forged) == INVALID, forged
    assert (await people.verify(token))["code"] == "valid"


async def test_a_token_of_another_project_is_invalid(people: People) -> None:
    """Its signature is good, and its session is of the tenant: the session is another project's."""
    user = await people.new_user()
    begun = await people.session(user)
    elsewhere = await people.session(user, project_id=await people.new_project())
    signed = await people.projects.call(
        signing_calls.SIGN_TOKEN,
        people.tenant,
        {
            "project_id": elsewhere["session"]["project_id"],
            "claims": {
                "sub": user, "sid": begun["session"]["id"], "tid": people.tenant, "jti": "x",
            },
        },
    )  # fmt: skip
    assert await people.verify(signed.body["token"]) == INVALID


async def test_revocation_and_suspension_are_known_at_once(people: People) -> None:
    user = await people.new_user()
    begun, other = await people.session(user), await people.session(user)
    for each in (begun, other):
        assert (await people.verify(each["access_token"]))["code"] == "valid"
    await people.end(user, begun["session"]["id"])
    verdict = await people.verify(begun["access_token"])
    assert (verdict["code"], verdict["session"]["status"]) == ("revoked", "revoked")
    assert (await people.verify(other["access_token"]))["code"] == "valid"
    await people.change(user, status="suspended")
    assert (await people.verify(other["access_token"]))["code"] == "user_suspended"
    await people.change(user, status="active")
    assert (await people.verify(other["access_token"]))["code"] == "revoked"
    await people.identity.call(user_calls.DELETE_USER, people.tenant, path={"id": user})
    assert await people.verify(other["access_token"]) == INVALID


async def test_a_late_token_of_a_live_session_is_expired(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = await people.session(await people.new_user())
    now = time.time()
    with monkeypatch.context() as earlier:
        earlier.setattr("projects.session_tokens.time.time", lambda: now - 901)
        refreshed = await people.refresh(begun["refresh_token"])
    verdict = await people.verify(refreshed.body["access_token"])
    assert (verdict["valid"], verdict["code"]) == (False, "expired")
    assert verdict["session"]["status"] == "active"


async def test_a_revoked_signing_key_is_believed_no_longer(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = await people.session(await people.new_user())
    token = begun["access_token"]
    assert (await people.verify(token))["code"] == "valid"
    path = {"id": people.project, "kid": jwt.get_unverified_header(token)["kid"]}
    await people.projects.call(signing_calls.REVOKE_SIGNING_KEY, people.tenant, path=path)
    monkeypatch.setattr(access_tokens, "FRESH_SECONDS", 0.0)
    assert await people.verify(token) == INVALID
    fresh = await people.refresh(begun["refresh_token"])
    assert (await people.verify(fresh.body["access_token"]))["code"] == "valid"


async def test_use_is_gathered_and_written_together(people: People, activity: Activity) -> None:
    user = await people.new_user()
    project = await people.new_project(session_idle_timeout=300, refresh_token_ttl=3600)
    begun = [await people.session(user, project_id=project) for _ in range(3)]
    for each in begun:
        await people.set_back(each["session"]["id"], 200)
    before = (await people.found(user))["sessions"]
    for each in begun[:2]:
        for _ in range(3):
            assert (await people.verify(each["access_token"]))["code"] == "valid"
    assert (await people.found(user))["sessions"] == before
    await people.end(user, begun[1]["session"]["id"])
    await activity.flush(people.identity.pool)
    after = {each["id"]: each for each in (await people.found(user))["sessions"]}
    used = after[begun[0]["session"]["id"]]
    active = datetime.fromisoformat(used["last_active_at"])
    assert datetime.now(UTC) - active < timedelta(seconds=10)
    assert datetime.fromisoformat(used["expires_at"]) - active == timedelta(seconds=300)
    assert after[begun[2]["session"]["id"]] == before[0]
    assert len(after) == 2


async def test_what_cannot_be_written_is_written_later(people: People) -> None:
    user = await people.new_user()
    session = (await people.session(user))["session"]
    activity, later = Activity(), datetime.now(UTC) + timedelta(seconds=1)
    activity.note(people.tenant, session["id"], later)
    away = await open_pool(people.identity.settings.database_url, 1)
    await away.close()
    with pytest.raises(asyncpg.InterfaceError):
        await activity.flush(away)
    await activity.flush(people.identity.pool)
    (shown,) = (await people.found(user))["sessions"]
    assert datetime.fromisoformat(shown["last_active_at"]) == later


async def test_sessions_are_forgotten_a_month_after_their_end(people: People) -> None:
    user = await people.new_user()
    old, recent = [(await people.session(user))["session"]["id"] for _ in range(2)]
    for session, days in ((old, 38), (recent, 36)):
        await people.set_back(session, days * 86_400)
    assert await retention.purge(people.identity.pool) >= 1
    left = await people.identity.pool.fetch(
        "SELECT id FROM sessions WHERE tenant_id = $1", people.tenant
    )
    assert [row["id"] for row in left] == [recent]
