"""Which access tokens an edge takes: those that projects makes for a living secret, no other."""

import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import jwt
import pytest
from chassis.encryption import Keyring
from chassis.request import Reply
from chassis.settings import parse_encryption_keys
from contracts import tenants as calls
from contracts.ids import new_id
from contracts.secrets import digest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from edge.auth import token_keys as edge_keys
from edge.auth.credentials import Credentials
from projects.rpc import HANDLERS
from projects.tokens import token_keys
from service.edge.test_credentials import answering, authenticate, code_of, edge, projects
from support.owner import ENCRYPTION_KEYS, Owner
from tenantry.servers import Servers

__all__ = ["edge", "projects"]


class Minter:
    """Makes tokens as projects does, or as one who has its private key and other wishes."""

    def __init__(self, kid: str, key: Any, issued: str) -> None:
        self.kid, self.key, self.issued = kid, key, issued
        self.claims = jwt.decode(issued, options={"verify_signature": False})
        self.looks: list[None] = []
        """How often the public keys were asked for."""

    def token(self, headers: dict[str, Any] | None = None, **changes: Any) -> str:
        claims = {k: v for k, v in {**self.claims, **changes}.items() if v is not None}
        sent = {"typ": "at+jwt", "kid": self.kid, **(headers or {})}
        return jwt.encode(claims, self.key, algorithm="EdDSA", headers=sent)


@pytest.fixture
async def minter(edge: Credentials, projects: Owner, servers: Servers) -> AsyncIterator[Minter]:
    """Projects answers; the token that it has made for a root key is the pattern of all."""
    made = await projects.call(
        calls.CREATE_TENANT,
        None,
        {"name": f"Acme {new_id('ten')}"},
        actor_type="operator",
        actor_id=None,
    )
    key = made.body["api_key"]
    body = {"grant_type": "client_credentials", "client_id": key["id"]}
    body["secret_sha256"] = digest(key["secret"])
    issued = (await projects.call(calls.ISSUE_TOKEN, None, body)).body["access_token"]
    async with projects.pool.acquire() as conn:
        kid, private = await token_keys.get_active(conn, projects.keyring)
    minter, look = Minter(kid, private, issued), HANDLERS[calls.TOKEN_KEYS]

    async def counted(*given: Any) -> Reply:
        minter.looks.append(None)
        return await look.function(*given)

    handlers = {**HANDLERS, calls.TOKEN_KEYS: replace(look, function=counted)}
    async with answering(projects, servers, handlers):
        yield minter


async def test_a_token_of_projects_is_taken(edge: Credentials, minter: Minter) -> None:
    await authenticate(edge, minter.issued)
    await authenticate(edge, minter.token())


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 10 * 365 * 86400},
        {"iat": -3600},
        {"iat": 600, "exp": 1200},
        {"exp": -1},
        {"exp": None},
        {"iat": None},
        {"iss": "another"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"tid": "ten_01jt7a3v9qf8mbd2m0q5k4h6xz"},
        {"tid": None},
        {"sub": None},
        {"sub": "key_01jt7a3v9qf8mbd2m0q5k4h6xz"},
        {"ver": None},
        {"ver": 0},
        {"ver": 2},
        {"ver": "1"},
        {"ver": True},
        {"sub": "operator"},
        {"sub": "operator", "ver": None},
        {"sub": "operator", "ver": None, "operator_key": ""},
        {"sub": "operator", "ver": None, "operator_key": "0" * 64},
        {"scope": None},
        {"scope": ["*"]},
    ],
    ids=str,
)
async def test_claims_that_projects_never_makes_are_refused(
    edge: Credentials, minter: Minter, changes: dict[str, Any]
) -> None:
    """Times are seconds from now."""
    now = int(time.time())
    for name in {"iat", "exp"} & {name for name, value in changes.items() if value is not None}:
        changes = {**changes, name: now + changes[name]}
    assert await code_of(edge, minter.token(**changes)) == "unauthenticated"


async def test_a_header_that_projects_never_makes_is_refused(
    edge: Credentials, minter: Minter
) -> None:
    await authenticate(edge, minter.token())
    for headers in ({"typ": "JWT"}, {"typ": None}, {"kid": "unknown"}, {"kid": ""}):
        assert await code_of(edge, minter.token(headers)) == "unauthenticated"
    public = minter.key.public_key().public_bytes_raw()
    headers = {"typ": "at+jwt", "kid": minter.kid}
    for key, algorithm in ((public.hex(), "HS256"), (None, "none")):
        forged = jwt.encode(minter.claims, key, algorithm=algorithm, headers=headers)
        assert await code_of(edge, forged) == "unauthenticated"


async def test_no_hash_key_of_a_service_makes_a_token(
    edge: Credentials, projects: Owner, minter: Minter
) -> None:
    """As it was before version 0.2: the key was derived from what every service had."""
    for _, hash_key in projects.settings.all_hash_keys():
        seed = hmac.new(hash_key, b"derive\0access-token", hashlib.sha256).digest()
        key = Ed25519PrivateKey.from_private_bytes(seed)
        public = hashlib.sha256(key.public_key().public_bytes_raw()).hexdigest()[:16]
        for kid in (public, minter.kid):
            forged = Minter(kid, key, minter.issued).token()
            assert await code_of(edge, forged) == "unauthenticated"


async def test_unknown_key_ids_cost_one_look_a_second_whoever_invents_them(
    edge: Credentials, minter: Minter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_keys, "UNKNOWN_SECONDS", 3600)
    for n in range(20):
        assert await code_of(edge, minter.token({"kid": f"invented-{n}"})) == "unauthenticated"
    assert len(minter.looks) == 1
    await authenticate(edge, minter.token())
    assert len(minter.looks) == 1, "the one look has brought all keys"


async def test_a_token_that_was_verified_ends_with_its_key(
    edge: Credentials, projects: Owner, minter: Minter
) -> None:
    token = minter.token()
    await authenticate(edge, token)
    async with projects.pool.acquire() as conn, conn.transaction():
        await token_keys.rotate(conn, projects.keyring, leaked=True)
    await authenticate(edge, token)
    await edge.tokens.keys.refresh()
    assert await code_of(edge, token) == "unauthenticated"


async def test_beside_processes_of_version_0_1_their_tokens_are_taken_for_a_day(
    edge: Credentials, projects: Owner, minter: Minter
) -> None:
    """Their tokens name no type, audience and version of the secret."""
    hash_key = bytes(range(32))
    keyring = Keyring(parse_encryption_keys(ENCRYPTION_KEYS), [("", hash_key)])
    await projects.pool.execute("DELETE FROM token_keys")
    await token_keys.maintain(projects.pool, keyring)
    seed = hmac.new(hash_key, b"derive\0access-token", hashlib.sha256).digest()
    key = Ed25519PrivateKey.from_private_bytes(seed)
    kid = hashlib.sha256(key.public_key().public_bytes_raw()).hexdigest()[:16]
    of_0_1 = Minter(kid, key, minter.issued).token({"typ": "JWT"}, aud=None, ver=None)
    await authenticate(edge, of_0_1)
    foreign = Minter(kid, Ed25519PrivateKey.generate(), minter.issued)
    assert await code_of(edge, foreign.token()) == "unauthenticated"
    operators = Minter(kid, key, minter.issued).token(sub="operator", operator_key="0" * 64)
    assert await code_of(edge, operators) == "unauthenticated"
    a_day_later = "UPDATE token_keys SET activated_at = activated_at - interval '25 hours'"
    await projects.pool.execute(f"{a_day_later} WHERE status = 'active'")
    await projects.pool.execute("UPDATE token_keys SET created_at = now() - interval '25 hours'")
    await token_keys.maintain(projects.pool, projects.keyring)
    signing = await projects.pool.fetchval("SELECT id FROM token_keys WHERE status = 'active'")
    assert signing != kid
    await projects.pool.execute("DELETE FROM token_keys")
    await token_keys.maintain(projects.pool, projects.keyring)
    await edge.tokens.keys.refresh()
    assert await code_of(edge, of_0_1) == "unauthenticated"
