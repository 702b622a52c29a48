"""Who is signed in: the credential, sealed, in Redis under a random id, else in a cookie.

A session ends after 30 minutes without a request, and 8 hours after it began.
"""

import hashlib
import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import Literal

from cachetools import TTLCache
from chassis.encryption import Keyring, SecretId
from cryptography.exceptions import InvalidTag
from pydantic import BaseModel, ConfigDict, ValidationError
from redis.asyncio import Redis

from console.links import LINK_SECONDS, read_link_token

IDLE_SECONDS = 30 * 60
LONGEST_SECONDS = 8 * 3600
_SESSION = SecretId("console_session", "", "")
_IN_REDIS, _IN_COOKIE = "r.", "c."


class OpenTenant(BaseModel):
    """A tenant that the operator looks into, by a `token` that lasts until `expires_at`."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    token: str
    scopes: tuple[str, ...]
    expires_at: float


class Session(BaseModel):
    """A person who is signed in. `scopes` are those of the key when the session began; the API
    decides by those of now. `tenant` is the name of the tenant, None for the operator, who may
    have a tenant `open` meanwhile.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Literal["tenant", "operator"]
    credential: str
    credential_id: str | None
    tenant_id: str | None
    tenant: str | None
    scopes: tuple[str, ...]
    started_at: float
    seen_at: float
    open: OpenTenant | None = None

    @property
    def bearer(self) -> str:
        """What the API gets: the credential, or the token for the tenant that is open."""
        return self.open.token if self.open else self.credential

    @property
    def is_operator(self) -> bool:
        """Whether the pages are those of the operator."""
        return self.kind == "operator" and self.open is None

    @property
    def form_token(self) -> str:
        """What every form of the session carries, and no other site knows. A form made in the view
        of one tenant is none in that of another, which a second tab may have opened.
        """
        view = self.open.id if self.open else ""
        digest = hmac.digest(self.id.encode(), f"console form {view}".encode(), hashlib.sha256)
        return urlsafe_b64encode(digest).rstrip(b"=").decode()

    def may(self, *scopes: str) -> bool:
        """Whether the credential has one of the scopes; the operator has none of a tenant's that
        is not open.
        """
        held = self.open.scopes if self.open else self.scopes
        return "*" in held or any(scope in held for scope in scopes)


class Sessions:
    """Begins, finds and ends sessions. Raises RedisError where Redis is needed and away."""

    def __init__(self, keyring: Keyring, redis: Redis | None) -> None:
        self._keyring = keyring
        self._redis = redis
        self._used_links: TTLCache[str, bool] = TTLCache(10_000, LINK_SECONDS)

    async def begin(
        self,
        credential: str,
        credential_id: str | None,
        tenant: tuple[str, str] | None,
        scopes: Sequence[str],
    ) -> tuple[Session, str]:
        """The session, and the value of its cookie. `tenant`: its id and name."""
        now = time.time()
        session = Session(
            id=secrets.token_urlsafe(32),
            kind="tenant" if tenant else "operator",
            credential=credential,
            credential_id=credential_id,
            tenant_id=tenant[0] if tenant else None,
            tenant=tenant[1] if tenant else None,
            scopes=tuple(scopes),
            started_at=now,
            seen_at=now,
        )
        return session, await self._keep(session, is_new=True)

    async def find(self, cookie: str) -> tuple[Session, str] | None:
        """The session of a cookie, and the value that the cookie has from now on."""
        sealed: str | None = None
        if cookie.startswith(_IN_COOKIE):
            sealed = cookie.removeprefix(_IN_COOKIE)
        elif cookie.startswith(_IN_REDIS) and self._redis is not None:
            found = await self._redis.get(_redis_key(cookie.removeprefix(_IN_REDIS)))
            sealed = str(found, "ascii") if isinstance(found, bytes) else None
        session = self._open(sealed) if sealed else None
        if session is None:
            return None
        now = time.time()
        if now - session.seen_at > IDLE_SECONDS or now - session.started_at > LONGEST_SECONDS:
            return None
        session = session.model_copy(update={"seen_at": now})
        return session, await self._keep(session)

    async def change(self, session: Session) -> str:
        """Keeps the session as it is now; the value that the cookie has from now on."""
        return await self._keep(session)

    async def end(self, session: Session) -> None:
        """Forgets it."""
        if self._redis is not None:
            await self._redis.delete(_redis_key(session.id))

    async def use_link_token(self, token: str) -> str | None:
        """The credential of a link that was not used before; else None."""
        link = read_link_token(self._keyring, token)
        if link is None or not await self._first_use(link.nonce):
            return None
        return link.credential

    async def _first_use(self, nonce: str) -> bool:
        if self._redis is not None:
            name = f"console:link:{nonce}"
            return bool(await self._redis.set(name, b"1", nx=True, ex=LINK_SECONDS))
        first = nonce not in self._used_links
        self._used_links[nonce] = True
        return first

    async def _keep(self, session: Session, *, is_new: bool = False) -> str:
        sealed = self._keyring.encrypt(session.model_dump_json().encode(), _SESSION)
        if self._redis is None:
            return _IN_COOKIE + sealed
        # One that was ended meanwhile stays so.
        await self._redis.set(_redis_key(session.id), sealed, ex=IDLE_SECONDS, xx=not is_new)
        return _IN_REDIS + session.id

    def _open(self, sealed: str) -> Session | None:
        try:
            return Session.model_validate_json(self._keyring.decrypt(sealed, _SESSION))
        except (InvalidTag, KeyError, ValueError, ValidationError):
            return None


def _redis_key(session_id: str) -> str:
    """Who reads Redis learns no id of a session."""
    return f"console:session:{hashlib.sha256(session_id.encode()).hexdigest()}"
