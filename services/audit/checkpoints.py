"""Signs checkpoints: of every tenant of which something happened since the one before.

The tree is hashed without any lock. A checkpoint is stored with its event in one transaction, and
only if the tree still continues the one before: what was rewritten is not signed, but reported.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from chassis.database import Connection, Pool
from chassis.statements import Statement
from chassis.tracing import new_traceparent
from contracts.audit import AuditCheckpoint
from contracts.context import Context
from contracts.ids import new_id
from outbox.record import create_entry, record
from sqlalchemy import ARRAY, Text, bindparam, delete, exists, func, literal_column, select

from audit import note
from audit.append import LOCK_HEADS
from audit.note import BadNoteError, Checkpoint, Signer, VerifierKey
from audit.settings import AuditSettings
from audit.tables import (
    EVENTS,
    HEADS,
    PENDING_CHECKPOINTS,
    SIGNED_CHECKPOINTS,
    VERIFIER_KEYS,
    SignedCheckpointRow,
)
from audit.tree import APPEND_TILES, MAX_APPENDED, MissingHashesError, Tree

log = structlog.get_logger()

_mine = SIGNED_CHECKPOINTS.c.tenant_id == bindparam("tenant_id")
LIST_PENDING = Statement(
    select(PENDING_CHECKPOINTS.c.tenant_id)
    .where(PENDING_CHECKPOINTS.c.tenant_id > bindparam("after"))
    .order_by(PENDING_CHECKPOINTS.c.tenant_id)
    .limit(literal_column("100"))
)
GET_SIZE = Statement(
    select(HEADS.c.sequence).where(
        HEADS.c.tenant_id == bindparam("tenant_id"), HEADS.c.closed_at.is_(None)
    )
)
GET_NEWEST = Statement(select(*SIGNED_CHECKPOINTS.c).where(_mine), SignedCheckpointRow)
LIST_KEYS = Statement(
    select(VERIFIER_KEYS.c.key)
    .where(VERIFIER_KEYS.c.tenant_id == bindparam("tenant_id"))
    .order_by(VERIFIER_KEYS.c.position.desc())
)
STORE = Statement(
    select(
        func.store_checkpoint(
            bindparam("tenant_id"),
            bindparam("size"),
            bindparam("note"),
            bindparam("keys", type_=ARRAY(Text)),
        )
    )
)
SETTLE = Statement(
    delete(PENDING_CHECKPOINTS).where(
        PENDING_CHECKPOINTS.c.tenant_id == bindparam("tenant_id"),
        ~exists().where(
            EVENTS.c.tenant_id == bindparam("tenant_id"),
            EVENTS.c.sequence > bindparam("size"),
            EVENTS.c.action != AuditCheckpoint.type,
        ),
    )
)


class ContradictedCheckpointError(Exception):
    """The trail is not that of its last checkpoint, whose size this is."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the first {size} events are not those that were signed")
        self.size = size


def signers_of(settings: AuditSettings, tenant_id: str) -> list[Signer]:
    name = f"{settings.audit_origin}/audit/{tenant_id}"
    return [Signer.derive(seed, name, tenant_id) for seed in settings.seeds()]


@dataclass
class Checkpoints:
    """Signs what is pending. `after_commit` is called when an event was recorded.

    `doubted` are the tenants whose trails contradict their checkpoints, or lack events.
    """

    pool: Pool
    settings: AuditSettings
    after_commit: Callable[[], None]
    doubted: dict[str, str] = field(default_factory=dict)

    async def sign_pending(self) -> None:
        """Every tenant in turn: none is kept back by what is wrong with another one."""
        after = ""
        while rows := await LIST_PENDING.fetch_all(self.pool, after=after):
            for row in rows:
                after = row["tenant_id"]
                await self._sign(after)

    async def check(self) -> dict[str, Any]:
        """For health."""
        if not self.doubted:
            return {"doubted": 0}
        return {"status": "degraded", "doubted": len(self.doubted)}

    async def _sign(self, tenant_id: str) -> None:
        async with self.pool.acquire() as conn:
            while (
                await APPEND_TILES.fetch_value(conn, tenant_id=tenant_id, at_most=MAX_APPENDED)
                == MAX_APPENDED
            ):
                pass
            try:
                checkpoint = await self._checkpoint(conn, tenant_id)
            except (MissingHashesError, ContradictedCheckpointError, BadNoteError) as error:
                self._doubt(tenant_id, str(error))
                return
            self.doubted.pop(tenant_id, None)
            if checkpoint is None:
                return
            signers = signers_of(self.settings, tenant_id)
            await self._store(conn, tenant_id, checkpoint, signers)
        self.after_commit()

    def _doubt(self, tenant_id: str, reason: str) -> None:
        self.doubted[tenant_id] = reason
        log.error("audit_trail_not_signed", tenant_id=tenant_id, reason=reason)

    async def _checkpoint(self, conn: Connection, tenant_id: str) -> Checkpoint | None:
        """That of the trail as it is now.

        Raises MissingHashesError, ContradictedCheckpointError, BadNoteError.
        """
        size = await GET_SIZE.fetch_value(conn, tenant_id=tenant_id)
        if not size:
            return None
        before = await GET_NEWEST.fetch_one(conn, tenant_id=tenant_id)
        if before is not None:
            signed = await self._verified(conn, tenant_id, before.note)
            if signed.size > size:
                raise ContradictedCheckpointError(signed.size)
            if await Tree(conn, tenant_id, signed.size).root() != signed.root:
                raise ContradictedCheckpointError(signed.size)
        root = await Tree(conn, tenant_id, size).root()
        return Checkpoint(f"{self.settings.audit_origin}/audit/{tenant_id}", size, root)

    async def _verified(self, conn: Connection, tenant_id: str, signed: str) -> Checkpoint:
        """By a key of today or of before. Raises BadNoteError."""
        keys = [signer.key for signer in signers_of(self.settings, tenant_id)]
        stored = await LIST_KEYS.fetch_all(conn, tenant_id=tenant_id)
        return note.verify(signed, [*keys, *(VerifierKey.parse(row["key"]) for row in stored)])

    async def _store(
        self, conn: Connection, tenant_id: str, checkpoint: Checkpoint, signers: list[Signer]
    ) -> None:
        signed = note.sign(checkpoint, signers)
        keys = [str(signer.key) for signer in signers]
        async with conn.transaction():
            # Nobody appends between the look for newer events and its commit.
            await LOCK_HEADS.fetch_all(conn, tenant_ids=[tenant_id])
            if await STORE.fetch_value(
                conn, tenant_id=tenant_id, size=checkpoint.size, note=signed, keys=keys
            ):
                await record(conn, [_event(tenant_id, checkpoint.size, signed)])
            await SETTLE.execute(conn, tenant_id=tenant_id, size=checkpoint.size)


def _event(tenant_id: str, size: int, signed: str) -> Any:
    context = Context(tenant_id=tenant_id, request_id=new_id("req"), traceparent=new_traceparent())
    data = {
        "tenant_id": tenant_id,
        "size": size,
        "checkpoint": signed,
        "changes": {"checkpoint": {"from": None, "to": signed}},
    }
    return create_entry(context, AuditCheckpoint, tenant_id, data)
