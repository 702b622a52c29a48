"""Verifying an access token: what is forged, expired or revoked is known; nothing is written."""

import base64
import json
import time
from typing import Any

import jwt
import pytest
from contracts import organizations as organization_calls
from contracts import signing_keys as signing_calls
from contracts.ids import new_id
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from identity.sessions import access_tokens
from service.identity.client import IdentityClient

INVALID = {"valid": False, "code": "invalid", "claims": None, "session": None}


def _with_claims(token: str, **claims: Any) -> str:
    """The same token with other claims, and with the signature that it had."""
    head, payload, signature = token.split(".")
    decoded = json.loads(base64.urlsafe_b64decode(payload + "=="))
    changed = json.dumps({**decoded, **claims}).encode()
    return f"{head}.{base64.urlsafe_b64encode(changed).decode().rstrip('=')}.{signature}"


async def _code(client: IdentityClient, token: str) -> str:
    return str((await client.verify_session(token))["code"])


async def test_a_good_token_is_valid_for_its_own_tenant(
    client: IdentityClient, other_client: IdentityClient
) -> None:
    user = await client.create_user()
    created = await client.create_session(user)
    verdict = await client.verify_session(created["access_token"])
    assert (verdict["valid"], verdict["code"]) == (True, "valid")
    assert (verdict["claims"]["sub"], verdict["session"]) == (user, created["session"])
    assert await other_client.verify_session(created["access_token"]) == INVALID


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
async def test_every_algorithm_verifies(client: IdentityClient, algorithm: str) -> None:
    project = await client.create_project(signing_algorithm=algorithm)
    created = await client.create_session(await client.create_user(), project_id=project)
    assert jwt.get_unverified_header(created["access_token"])["alg"] == algorithm
    assert await _code(client, created["access_token"]) == "valid"


async def test_a_forged_token_is_invalid(client: IdentityClient) -> None:
    user = await client.create_user()
    created, other = [await client.create_session(user) for _ in range(2)]
    token = created["access_token"]
    head, payload, signature = token.split(".")
    claims = jwt.decode(token, options={"verify_signature": False})
    kid = jwt.get_unverified_header(token)["kid"]
    own_key = Ed25519PrivateKey.generate()
    deep = base64.urlsafe_b64encode(b"[" * 4000).decode()
    for forged in (
        _with_claims(token, sid=other["session"]["id"]),
        _with_claims(token, exp=int(time.time()) + 10**6),
        _with_claims(token, sid=["x"]),
        _with_claims(token, sid="ses_\0"),
        f"{head}.{payload}.{other['access_token'].split('.')[2]}",
        f"{head}.{payload}.",
        jwt.encode(claims, own_key, algorithm="EdDSA", headers={"kid": kid}),
        jwt.encode(claims, own_key, algorithm="EdDSA", headers={"kid": new_id("sgk")}),
        jwt.encode(claims, "secret" * 10, algorithm="HS256", headers={"kid": kid}),
        jwt.encode(claims, None, algorithm="none", headers={"kid": kid}),
        jwt.encode(claims, own_key, algorithm="EdDSA"),
        f"{deep}.{payload}.{signature}",
        f"{head}.{deep}.{signature}",
        created["refresh_token"],
        "nonsense",
    ):
        assert await client.verify_session(forged) == INVALID, forged
    assert await _code(client, token) == "valid"


async def test_a_token_of_another_project_is_invalid(client: IdentityClient) -> None:
    """Its signature is good, and its session is of the tenant: the session is another project's."""
    user = await client.create_user()
    created = await client.create_session(user)
    claims = {"sub": user, "sid": created["session"]["id"], "tid": client.tenant, "jti": "x"}
    body = {"project_id": await client.create_project(), "claims": claims}
    signed = await client.projects.call(signing_calls.SIGN_TOKEN, client.tenant, body)
    assert await client.verify_session(signed.body["token"]) == INVALID


async def test_revocation_and_suspension_are_known_at_once(client: IdentityClient) -> None:
    user = await client.create_user()
    created, other = [await client.create_session(user) for _ in range(2)]
    for each in (created, other):
        assert await _code(client, each["access_token"]) == "valid"
    await client.revoke_session(user, created["session"]["id"])
    verdict = await client.verify_session(created["access_token"])
    assert (verdict["code"], verdict["session"]["status"]) == ("revoked", "revoked")
    assert await _code(client, other["access_token"]) == "valid"
    await client.update_user(user, status="suspended")
    assert await _code(client, other["access_token"]) == "user_suspended"
    await client.update_user(user, status="active")
    assert await _code(client, other["access_token"]) == "revoked"
    await client.delete_user(user)
    assert await client.verify_session(other["access_token"]) == INVALID


async def test_a_token_names_the_organization_only_while_the_user_is_a_member(
    client: IdentityClient,
) -> None:
    """With the role of today. The session itself lives on, as it does when it is refreshed."""
    owner, user = await client.create_user(), await client.create_user("bob@example.com")
    organizations = [await client.create_organization(owner_id=owner) for _ in range(2)]
    tokens = []
    for organization in organizations:
        await client.add_member(organization, user, role="admin")
        created = await client.create_session(user, organization_id=organization)
        tokens.append(created["access_token"])
    without = (await client.create_session(user))["access_token"]

    async def verify(token: str) -> tuple[str, Any, Any]:
        verdict = await client.verify_session(token)
        claims = jwt.decode(token, options={"verify_signature": False})
        kept = {name: each for name, each in claims.items() if name not in ("org_id", "role")}
        assert kept.items() <= verdict["claims"].items()
        return verdict["code"], verdict["claims"].get("org_id"), verdict["claims"].get("role")

    assert [await verify(each) for each in tokens] == [
        ("valid", organization, "admin") for organization in organizations
    ]
    await client.update_member(organizations[0], user, role="member")
    assert await verify(tokens[0]) == ("valid", organizations[0], "member")
    await client.remove_member(organizations[0], user)
    assert await verify(tokens[0]) == ("valid", None, None)
    assert "org_id" not in (await client.verify_session(tokens[0]))["claims"]
    await client.add_member(organizations[0], user, role="viewer")
    assert await verify(tokens[0]) == ("valid", organizations[0], "viewer")
    await client.call(organization_calls.DELETE_ORGANIZATION, None, organizations[1])
    assert await verify(tokens[1]) == ("valid", None, None)
    assert await verify(without) == ("valid", None, None)


async def test_an_expired_token_of_a_live_session_is_expired(
    client: IdentityClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = await client.create_session(await client.create_user())
    now = time.time()
    with monkeypatch.context() as earlier:
        earlier.setattr("projects.tokens.session_tokens.time.time", lambda: now - 901)
        refreshed = await client.refresh_session(created["refresh_token"])
    verdict = await client.verify_session(refreshed.body["access_token"])
    assert (verdict["valid"], verdict["code"]) == (False, "expired")
    assert verdict["session"]["status"] == "active"


async def test_a_revoked_signing_key_is_not_accepted_any_more(
    client: IdentityClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = await client.create_session(await client.create_user())
    token = created["access_token"]
    assert await _code(client, token) == "valid"
    path = {"id": client.project, "kid": jwt.get_unverified_header(token)["kid"]}
    await client.projects.call(signing_calls.REVOKE_SIGNING_KEY, client.tenant, path=path)
    monkeypatch.setattr(access_tokens, "FRESH_SECONDS", 0.0)
    assert await client.verify_session(token) == INVALID
    refreshed = await client.refresh_session(created["refresh_token"])
    assert await _code(client, refreshed.body["access_token"]) == "valid"
