"""Idempotency keys: the answer of a request is stored in the transaction of its change, encrypted.

A repeat within 24 hours gets that answer again, if it shows a secret only from the same credential.
draft-ietf-httpapi-idempotency-key-header.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from contracts.problems import Problem
from sqlalchemy import (
    Column,
    Index,
    MetaData,
    Table,
    Text,
    bindparam,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT

from chassis.database import ID, TIME, WRITE_TO_LOG, Connection, Pool
from chassis.encryption import Keyring, SecretId
from chassis.purge import delete_batch
from chassis.request import Reply, Request
from chassis.statements import Statement

IDEMPOTENCY = Table(
    "idempotency",
    MetaData(),
    Column("tenant_id", ID, primary_key=True),
    Column("key", ID, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("mentions", ARRAY(ID), nullable=False, server_default="{}"),
    Column("created_at", TIME, nullable=False, index=True, server_default=func.now()),
)

Index(
    "idempotency_mentions",
    IDEMPOTENCY.c.mentions,
    postgresql_using="gin",
    postgresql_where=text("mentions <> '{}'"),
)
"""The answers that show a user or an invitation: they are erased with that person."""

_PERSONAL = re.compile(rb"\b(?:usr|inv)_[0-7][0-9a-hjkmnp-tv-z]{25}\b")
_MINE = (
    IDEMPOTENCY.c.tenant_id == bindparam("tenant_id"),
    IDEMPOTENCY.c.key == bindparam("key"),
)
_LOCK_AND_GET = Statement(
    select(
        func.pg_try_advisory_xact_lock(bindparam("lock", type_=BIGINT)).label("is_locked"),
        select(IDEMPOTENCY.c.fingerprint).where(*_MINE).scalar_subquery().label("fingerprint"),
        select(IDEMPOTENCY.c.answer).where(*_MINE).scalar_subquery().label("answer"),
    )
)
_CREATE = Statement(
    insert(IDEMPOTENCY).values(
        tenant_id=bindparam("tenant_id"),
        key=bindparam("key"),
        fingerprint=bindparam("fingerprint"),
        answer=bindparam("answer"),
        mentions=bindparam("mentions"),
    )
)
# Identifiers are unique among all tenants, and an answer without a credential belongs to none.
ERASE = Statement(
    update(IDEMPOTENCY)
    .where(
        IDEMPOTENCY.c.mentions != text("'{}'"),
        IDEMPOTENCY.c.mentions.overlap(bindparam("ids", type_=ARRAY(ID))),
    )
    .values(answer="", mentions=[])
)
PURGE = delete_batch(
    IDEMPOTENCY, IDEMPOTENCY.c.created_at < func.now() - text("interval '24 hours'")
)


@dataclass(frozen=True, slots=True)
class StoredReply:
    """The place where the reply to one request with an Idempotency-Key is kept.

    `owner` is the tenant, `operator`, or for a caller without a credential the request itself: who
    has no credential shares keys with the same request alone.
    """

    owner: str
    key: str
    fingerprint: str
    keyring: Keyring
    has_credential: bool
    path: Mapping[str, str]

    @classmethod
    def of(cls, request: Request[Any, Any], keyring: Keyring) -> "StoredReply":
        """The place for a request that has an Idempotency-Key."""
        context, fingerprint = request.context, _fingerprint(request)
        if context.tenant_id is not None:
            owner = context.tenant_id
        elif context.actor_type == "operator":
            owner = "operator"
        else:
            owner = f"anyone:{fingerprint}"
        key, has_credential = context.idempotency_key or "", not owner.startswith("anyone:")
        return cls(owner, key, fingerprint, keyring, has_credential, context.path)

    @property
    def _secret_id(self) -> SecretId:
        kind_of_owner = self.owner.partition(":")[0]
        return SecretId("idempotency", kind_of_owner, f"{self.owner}:{self.key}")

    @property
    def _name(self) -> str:
        return f"idempotency:{self.owner}:{self.key}"

    async def get(self, conn: Connection | Pool) -> Reply | None:
        """The stored reply; None if this is the first request, which then holds the key's lock
        until its transaction ends.

        Raises Problem: 422 when the key belongs to another request, 409 while the first one runs.
        """
        row = await _LOCK_AND_GET.fetch_one(
            conn, lock=_lock_number(self._name), tenant_id=self.owner, key=self.key
        )
        assert row is not None
        if row["answer"] is not None:
            if row["fingerprint"] != self.fingerprint:
                raise Problem(
                    "idempotency_key_reused",
                    "This Idempotency-Key belongs to another request. Use a fresh one.",
                )
            if not row["answer"]:
                raise Problem("not_found", "The answer to this request was erased with a person.")
            await conn.execute(WRITE_TO_LOG)  # a failover must not lose what is answered
            return _decode(self.keyring.decrypt(row["answer"], self._secret_id))
        if not row["is_locked"]:
            raise Problem(
                "idempotency_in_flight",
                "The first request with this Idempotency-Key is still running. Try again soon.",
            )
        return None

    async def create(self, conn: Connection, reply: Reply) -> None:
        """Stores the reply of the first request, in the transaction of its change.

        An error of a caller without a credential is not stored: anybody could have as many written
        as requests are answered, and the same request gets it again.
        """
        if reply.status >= 400 and not self.has_credential:
            return
        await _CREATE.execute(
            conn,
            tenant_id=self.owner,
            key=self.key,
            fingerprint=self.fingerprint,
            answer=self.keyring.encrypt(_encode(reply), self._secret_id),
            mentions=_mentions(self.path, reply),
        )


async def erase_answers(conn: Connection, ids: Sequence[str]) -> None:
    """Erases the stored answers that show these users and invitations; a repeat is a 404."""
    await ERASE.execute(conn, ids=ids)


def _mentions(path: Mapping[str, str], reply: Reply) -> list[str]:
    """Whom it is about: users and invitations. The results of an import have identifiers alone."""
    if "Content-Type" in reply.headers:
        return []
    text = " ".join(path.values()).encode() + b" " + reply.body
    return sorted({found.decode() for found in _PERSONAL.findall(text)})


def _fingerprint(request: Request[Any, Any]) -> str:
    """A digest of the request, of the caller's scopes, as a reply may hold what only they may see,
    and of the caller's key where the reply shows a secret: version 0.1 leaves it out.
    """
    context = request.context
    parts: list[Any] = [request.call.subject, context.path, context.query, sorted(context.scopes)]
    if request.call.shows_secret and not request.keyring.writes_as_0_1:
        parts.append(context.actor_id)
    return hashlib.sha256(orjson.dumps(parts) + b"\0" + request.encoded).hexdigest()


def _lock_number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def _encode(reply: Reply) -> bytes:
    head = orjson.dumps([reply.status, reply.version, reply.created, dict(reply.headers)])
    return head + b"\n" + reply.body


def _decode(stored: bytes) -> Reply:
    head, _, body = stored.partition(b"\n")
    status, version, created, headers = orjson.loads(head)
    return Reply(body, status, version, created, {**headers, "Idempotent-Replayed": "true"})
