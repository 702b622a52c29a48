"""Who is calling: the operator, an API key, or an access token made for one.

A key is named by the SHA-256 of its secret; what the owner says of it is remembered for seconds and
forgotten at once when an event tells of a change. A token is verified here, without I/O.
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt
import orjson
import structlog
from cachetools import TTLCache
from chassis.rpc import ask
from contracts.calls import Call
from contracts.context import ActorType, Context
from contracts.problems import Problem
from contracts.scopes import covers
from contracts.secrets import digest, is_secret
from contracts.tenants import FIND_CREDENTIAL, RECORD_REFUSAL, RECORD_USE, TOKEN_KEYS
from nats.aio.client import Client
from nats.aio.msg import Msg

log = structlog.get_logger()

REMEMBER_SECONDS = 5.0
REMEMBERED = 50_000
FLUSHED = 2_000
"""Uses told at once."""
ISSUER = "tenantry"
NO_TRACE = "00-00000000000000000000000000000001-0000000000000001-00"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks and what they may do; `key_id` is None for the operator."""

    actor_type: ActorType
    tenant_id: str | None = None
    key_id: str | None = None
    scopes: tuple[str, ...] = ()
    credential: Any = None
    expires_at: str | None = None

    @property
    def is_operator(self) -> bool:
        return self.actor_type == "operator"


@dataclass(frozen=True, slots=True)
class _Token:
    key_id: str
    scopes: tuple[str, ...]
    expires_at: float
    expiry: str


def unauthenticated() -> Problem:
    """One and the same answer, whatever is wrong with the credential."""
    return Problem(
        "unauthenticated",
        "Send `Authorization: Bearer <credential>` with a secret API key that is active, "
        "or an access token made for one.",
    )


class Credentials:
    """Finds the caller of a request."""

    def __init__(self, operator_key: str) -> None:
        self._operator = hashlib.sha256(operator_key.encode()).digest()
        self._known: TTLCache[Hashable, dict[str, Any]] = TTLCache(REMEMBERED, REMEMBER_SECONDS)
        self._tokens: TTLCache[bytes, _Token] = TTLCache(REMEMBERED, 900)
        self._token_keys: dict[str, Any] = {}
        self._token_keys_at = 0.0
        self._asking = asyncio.Lock()
        self._changes = 0
        self._used: dict[tuple[str, bool], tuple[str, datetime]] = {}
        self._refused: TTLCache[Hashable, bool] = TTLCache(REMEMBERED, 60)
        self._telling: set[asyncio.Task[bool]] = set()
        self._nats: Client

    async def start(self, nats: Client) -> None:
        """Hears of every key or tenant that changes."""
        self._nats = nats
        for subject in (
            "tenantry.events.projects.api_key.*",
            "tenantry.events.projects.tenant.*",
            "tenantry.lifecycle.projects.tenant.*",
        ):
            await nats.subscribe(subject, cb=self._changed)

    def forget_all(self) -> None:
        """After a lost connection: events may have been missed."""
        self._changes += 1
        self._known.clear()

    def forget_tenant(self, tenant_id: str | None) -> None:
        """Whatever is known of a tenant's keys may have changed."""
        self._changes += 1
        for name in [n for n, known in self._known.items() if known["tenant_id"] == tenant_id]:
            self._known.pop(name, None)

    async def _changed(self, msg: Msg) -> None:
        self.forget_tenant(orjson.loads(msg.data)["tenantid"])

    def knows(self, authorization: str) -> bool:
        """Whether finding this caller needs no request to the owner."""
        value = authorization[7:]
        return digest(value) in self._known or self._token_name(value) in self._tokens

    async def find(self, authorization: str, address: str | None, context: Context) -> Caller:
        """The caller behind an Authorization header. Raises Problem (401, 403, 503)."""
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() != "bearer" or not value or len(value) > 4096:
            raise unauthenticated()
        name = digest(value)
        if hmac.compare_digest(bytes.fromhex(name), self._operator):
            return Caller("operator")
        if name in self._known or is_secret(value):
            known = await self._look_up(name, {"secret_sha256": name}, context)
            caller = _caller(known, tuple(known["scopes"]), "api_key", known["expires_at"])
        elif value.count(".") == 2:
            token = await self._verify(value, context)
            known = await self._look_up(token.key_id, {"key_id": token.key_id}, context)
            scopes = tuple(scope for scope in token.scopes if covers(known["scopes"], scope))
            caller = _caller(known, scopes, "access_token", token.expiry)
        else:
            raise unauthenticated()
        await self._check(known, caller, address, context)
        self.used(known["tenant_id"], known["key_id"], previous=known["previous"])
        return caller

    async def _check(
        self, known: dict[str, Any], caller: Caller, address: str | None, context: Context
    ) -> None:
        """Refuses dead keys and suspended tenants, and has the refusal recorded."""
        status = known["status"]
        expires_at = known["expires_at"]
        if status == "active" and expires_at is not None:
            expired = datetime.fromisoformat(expires_at) <= datetime.now(UTC)
            status = "expired" if expired else status
        if known["type"] != "secret" or known["tenant_status"] == "deleting":
            raise unauthenticated()
        if status != "active":
            self.refused(caller, status, address, context)
            raise unauthenticated()
        if known["tenant_status"] == "suspended":
            self.refused(caller, "tenant_suspended", address, context)
            raise Problem("tenant_suspended", "The tenant is suspended. Ask your operator.")

    async def _look_up(self, name: str, body: dict[str, str], context: Context) -> dict[str, Any]:
        known = self._known.get(name)
        if known is not None:
            return known
        changes = self._changes
        reply = await ask(self._nats, FIND_CREDENTIAL, _bare(context), orjson.dumps(body))
        if reply.status == 404:
            raise unauthenticated()
        if reply.status != 200:
            raise Problem("service_unavailable", "Try again soon.", retry_after=1)
        known = orjson.loads(reply.body)
        # An answer that a change has overtaken serves this request, and no other.
        if changes == self._changes:
            self._known[name] = known
        return dict(known)

    @staticmethod
    def _token_name(token: str) -> bytes:
        return hashlib.sha256(token.encode()).digest()

    async def _verify(self, value: str, context: Context) -> _Token:
        name = self._token_name(value)
        token = self._tokens.get(name)
        if token is None:
            token = await self._decode(value, context)
            self._tokens[name] = token
        if token.expires_at <= time.time():
            raise unauthenticated()
        return token

    async def _decode(self, value: str, context: Context) -> _Token:
        try:
            kid = jwt.get_unverified_header(value).get("kid")
            key = await self._token_key(str(kid), context)
            claims = jwt.decode(
                value,
                key,
                algorithms=["EdDSA"],
                issuer=ISSUER,
                options={"require": ["exp", "iat", "sub", "tid"], "verify_aud": False},
            )
            expires_at = claims["exp"]
            expiry = datetime.fromtimestamp(expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            return _Token(claims["sub"], tuple(claims["scope"].split()), expires_at, expiry)
        except (jwt.PyJWTError, KeyError, ValueError, OverflowError, AttributeError):
            raise unauthenticated() from None

    async def _token_key(self, kid: str, context: Context) -> Any:
        """The public key of that id; asked of the owner at most once a second."""
        if kid not in self._token_keys:
            async with self._asking:  # who comes meanwhile waits for the same answer
                await self._ask_token_keys(kid, context)
        return self._token_keys[kid]

    async def _ask_token_keys(self, kid: str, context: Context) -> None:
        if kid in self._token_keys or time.monotonic() - self._token_keys_at <= 1:
            return
        self._token_keys_at = time.monotonic()
        reply = await ask(self._nats, TOKEN_KEYS, _bare(context))
        if reply.status == 200:
            keys = orjson.loads(reply.body)["keys"]
            self._token_keys = {each["kid"]: jwt.PyJWK(each).key for each in keys}

    def refused(self, caller: Caller, code: str, address: str | None, context: Context) -> None:
        """Has the use of a dead or under-scoped key recorded, once a minute for key and address."""
        name = (caller.key_id, address)
        if name in self._refused or caller.key_id is None:
            return
        self._refused[name] = True
        body = {"tenant_id": caller.tenant_id, "key_id": caller.key_id, "code": code}
        told = context.model_copy(
            update={
                "tenant_id": caller.tenant_id,
                "actor_type": "api_key",
                "actor_id": caller.key_id,
                "idempotency_key": None,
                "query": (),
            }
        )
        task = asyncio.create_task(self._tell(RECORD_REFUSAL, told, body))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def used(self, tenant_id: str, key_id: str, *, previous: bool) -> None:
        """Notes that a key was used just now, by the secret before its last rotation or not."""
        self._used[key_id, previous] = (tenant_id, datetime.now(UTC))

    async def flush_use(self) -> None:
        """Tells the owner when keys were last used: gathered, never a write per request.

        What could not be told is kept for the next time.
        """
        used, self._used = list(self._used.items()), {}
        for start in range(0, len(used), FLUSHED):
            uses = [
                {"key_id": key_id, "tenant_id": tenant_id, "used_at": at, "previous": previous}
                for (key_id, previous), (tenant_id, at) in used[start : start + FLUSHED]
            ]
            context = Context(request_id="last-use", traceparent=NO_TRACE, deadline=time.time() + 2)
            if not await self._tell(RECORD_USE, context, {"uses": uses}):
                self._used = {**dict(used[start:]), **self._used}
                return

    async def _tell(self, call: Call, context: Context, body: dict[str, Any]) -> bool:
        """Whether the owner has heard it; if not, it may be told again."""
        try:
            reply = await ask(self._nats, call, context, orjson.dumps(body))
        except Problem as problem:
            log.warning("not_told", call=call.name, code=problem.code)
            return False
        return reply.status < 500


def _bare(context: Context) -> Context:
    """The circumstances of a request without what it asks for."""
    return context.model_copy(update={"path": {}, "query": ()})


def _caller(
    known: dict[str, Any], scopes: tuple[str, ...], credential: str, expires_at: str | None
) -> Caller:
    return Caller("api_key", known["tenant_id"], known["key_id"], scopes, credential, expires_at)
