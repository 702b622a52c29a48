"""Who is calling: the operator, an API key, or an access token made for one.

A key is named by the SHA-256 of its secret; what the owner says of it is remembered for seconds and
forgotten at once when an event tells of a change. A token is verified here, without I/O.
"""

import asyncio
import hmac
import math
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, replace
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
MAX_CREDENTIAL = 4096
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
class _Key:
    """A key as its owner told of it: who calls with it, or why nobody may.

    `refusal` is `unknown` for what is no secret key of a living tenant, else a reason that the
    tenant is told of; `expires_at` in seconds since the epoch.
    """

    caller: Caller
    refusal: str | None
    expires_at: float
    is_previous: bool


@dataclass(slots=True)
class _Token:
    """An access token that was verified; `expires_at` in seconds since the epoch."""

    key_id: str
    scopes: tuple[str, ...]
    expires_at: float
    expiry: str
    _of: tuple[_Key, Caller] | None = None

    def caller(self, key: _Key) -> Caller:
        """With no more scopes than the key has now."""
        if self._of is None or self._of[0] is not key:
            scopes = tuple(scope for scope in self.scopes if covers(key.caller.scopes, scope))
            narrowed = replace(
                key.caller, scopes=scopes, credential="access_token", expires_at=self.expiry
            )
            self._of = key, narrowed
        return self._of[1]


@dataclass(slots=True)
class Presented:
    """A credential as a request presents it, and the digest by which it is known."""

    value: str
    digest: str

    @classmethod
    def of(cls, authorization: str) -> "Presented":
        """What an Authorization header presents. Raises Problem (401)."""
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() != "bearer" or not value or len(value) > MAX_CREDENTIAL:
            raise unauthenticated()
        return cls(value, digest(value))


async def _uncounted() -> None:
    """Of a stranger whom nobody counts."""


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
        self._operator = digest(operator_key)
        self._keys: TTLCache[str, _Key] = TTLCache(REMEMBERED, REMEMBER_SECONDS)
        self._tokens: TTLCache[str, _Token] = TTLCache(REMEMBERED, 900)
        self._token_keys: dict[str, Any] = {}
        self._token_keys_at = 0.0
        self._asking = asyncio.Lock()
        self._changes = 0
        self._used: dict[tuple[str | None, bool], tuple[str | None, datetime]] = {}
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
        self._keys.clear()

    def forget_tenant(self, tenant_id: str | None) -> None:
        """Whatever is known of a tenant's keys may have changed."""
        self._changes += 1
        for name in [n for n, key in self._keys.items() if key.caller.tenant_id == tenant_id]:
            self._keys.pop(name, None)

    async def _changed(self, msg: Msg) -> None:
        self.forget_tenant(orjson.loads(msg.data)["tenantid"])

    async def find(
        self,
        presented: Presented,
        address: str | None,
        context: Context,
        stranger: Callable[[], Awaitable[None]] = _uncounted,
    ) -> Caller:
        """The caller who presents it. Raises Problem (401, 403, 503).

        `stranger` is awaited before anything is done for a credential not seen lately.
        """
        name = presented.digest
        if hmac.compare_digest(name, self._operator):
            return Caller("operator")
        key = self._keys.get(name)
        if key is not None:
            caller = key.caller
        else:
            token = self._tokens.get(name)
            if token is None:
                await stranger()
            if token is None and is_secret(presented.value):
                key = await self._look_up(name, {"secret_sha256": name}, context)
                caller = key.caller
            else:
                token = token or await self._decode(presented, context)
                if token.expires_at <= time.time():
                    raise unauthenticated()
                key = self._keys.get(token.key_id)
                if key is None:
                    key = await self._look_up(token.key_id, {"key_id": token.key_id}, context)
                caller = token.caller(key)
        if key.refusal is not None or key.expires_at <= time.time():
            raise self._refusal(key, caller, address, context)
        self.used(key.caller.tenant_id, key.caller.key_id, previous=key.is_previous)
        return caller

    def _refusal(self, key: _Key, caller: Caller, address: str | None, context: Context) -> Problem:
        """Of dead keys and suspended tenants; those of a tenant's own keys are recorded."""
        if key.refusal != "unknown":
            self.refused(caller, key.refusal or "expired", address, context)
        if key.refusal == "tenant_suspended":
            return Problem("tenant_suspended", "The tenant is suspended. Ask your operator.")
        return unauthenticated()

    async def _look_up(self, name: str, body: dict[str, str], context: Context) -> _Key:
        changes = self._changes
        reply = await ask(self._nats, FIND_CREDENTIAL, _bare(context), orjson.dumps(body))
        if reply.status == 404:
            raise unauthenticated()
        if reply.status != 200:
            raise Problem("service_unavailable", "Try again soon.", retry_after=1)
        key = _key(orjson.loads(reply.body))
        # An answer that a change has overtaken serves this request, and no other.
        if changes == self._changes:
            self._keys[name] = key
        return key

    async def _decode(self, presented: Presented, context: Context) -> _Token:
        """Verified by its signature, and remembered."""
        value = presented.value
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
            token = _Token(claims["sub"], tuple(claims["scope"].split()), expires_at, expiry)
        except (jwt.PyJWTError, KeyError, ValueError, OverflowError, AttributeError):
            raise unauthenticated() from None
        self._tokens[presented.digest] = token
        return token

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
        told = replace(
            context,
            tenant_id=caller.tenant_id,
            actor_type="api_key",
            actor_id=caller.key_id,
            idempotency_key=None,
            query=(),
        )
        task = asyncio.create_task(self._tell(RECORD_REFUSAL, told, body))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def used(self, tenant_id: str | None, key_id: str | None, *, previous: bool) -> None:
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
    return replace(context, path={}, query=())


def _key(told: dict[str, Any]) -> _Key:
    refusal = None
    if told["type"] != "secret" or told["tenant_status"] == "deleting":
        refusal = "unknown"
    elif told["status"] != "active":
        refusal = told["status"]
    elif told["tenant_status"] == "suspended":
        refusal = "tenant_suspended"
    expiry = told["expires_at"]
    ends = math.inf if expiry is None else datetime.fromisoformat(expiry).timestamp()
    scopes = tuple(told["scopes"])
    caller = Caller("api_key", told["tenant_id"], told["key_id"], scopes, "api_key", expiry)
    return _Key(caller, refusal, ends, told["previous"])
