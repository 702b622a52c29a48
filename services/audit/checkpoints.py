"""Signs checkpoints: of every tenant of which something happened since the one before.

The tree is hashed without any lock. A checkpoint is stored with its event in one transaction, and
only if the tree still continues the one before: what was rewritten is not signed, but reported.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import structlog
from chassis.database import Connection, Pool
from chassis.statements import Statement
from chassis.tracing import new_traceparent
from contracts.audit import AuditCheckpoint
from contracts.context import Context
from contracts.ids import new_id
from outbox.record import create_entry, record
from sqlalchemy import ARRAY, Text, bindparam, delete, exists, func, literal_column, select

from audit import merkle, note
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
from audit.witness import RefusedByWitnessError, Witnesses

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


_DOUBTS = (
    MissingHashesError,
    ContradictedCheckpointError,
    RefusedByWitnessError,
    BadNoteError,
    asyncpg.PostgresError,
    TimeoutError,
)


def signers_of(settings: AuditSettings, tenant_id: str) -> list[Signer]:
    name = f"{settings.audit_origin}/audit/{tenant_id}"
    return [Signer.derive(seed, name, tenant_id) for seed in settings.seeds()]


@dataclass
class Checkpoints:
    """Signs what is pending. `after_commit` is called when an event was recorded.

    `doubted` are the tenants whose trails could not be signed in the last round, and why: they
    contradict their checkpoints, or what a witness has seen, or lack events.
    """

    pool: Pool
    settings: AuditSettings
    after_commit: Callable[[], None]
    doubted: dict[str, str] = field(default_factory=dict)

    async def sign_pending(self) -> None:
        """Every tenant in turn: none is kept back by what is wrong with another one."""
        after, doubted = "", dict[str, str]()
        witnesses = Witnesses(self.settings.witnesses())
        while rows := await LIST_PENDING.fetch_all(self.pool, after=after):
            for row in rows:
                after = row["tenant_id"]
                try:
                    await self._sign(after, witnesses)
                except _DOUBTS as error:
                    doubted[after] = f"{type(error).__name__}: {error}"
        for tenant_id, reason in doubted.items():
            log.error("audit_trail_not_signed", tenant_id=tenant_id, reason=reason)
        self.doubted = doubted

    async def check(self) -> dict[str, Any]:
        """For health."""
        if not self.doubted:
            return {"doubted": 0}
        return {"status": "degraded", "doubted": len(self.doubted)}

    async def _sign(self, tenant_id: str, witnesses: Witnesses) -> None:
        while (
            await APPEND_TILES.fetch_value(self.pool, tenant_id=tenant_id, at_most=MAX_APPENDED)
            == MAX_APPENDED
        ):
            pass
        async with self.pool.acquire() as conn:
            before = await self._before(conn, tenant_id)
            size = await GET_SIZE.fetch_value(conn, tenant_id=tenant_id)
            if not size:
                return
            root = await self._root(conn, tenant_id, size, before)
        signers = signers_of(self.settings, tenant_id)
        checkpoint = Checkpoint(signers[0].key.name, size, root)

        async def consistency(first: int) -> list[bytes]:
            async with self.pool.acquire() as conn:
                ranges = merkle.consistency_ranges(first, size)
                return await Tree(conn, tenant_id, size).roots(ranges)

        # No connection is held while others are waited for.
        previous = 0 if before is None else before.size
        signed = await witnesses.cosign(note.sign(checkpoint, signers), previous, consistency)
        await self._store(tenant_id, size, signed, [str(signer.key) for signer in signers])
        self.after_commit()

    async def _root(
        self, conn: Connection, tenant_id: str, size: int, before: Checkpoint | None
    ) -> bytes:
        """That of the trail as it is now.

        Raises MissingHashesError, ContradictedCheckpointError.
        """
        if before is not None and (
            before.size > size or await Tree(conn, tenant_id, before.size).root() != before.root
        ):
            raise ContradictedCheckpointError(before.size)
        return await Tree(conn, tenant_id, size).root()

    async def _before(self, conn: Connection, tenant_id: str) -> Checkpoint | None:
        """The checkpoint before, by a key of today or of before. Raises BadNoteError."""
        newest = await GET_NEWEST.fetch_one(conn, tenant_id=tenant_id)
        if newest is None:
            return None
        keys = [signer.key for signer in signers_of(self.settings, tenant_id)]
        stored = await LIST_KEYS.fetch_all(conn, tenant_id=tenant_id)
        keys += [VerifierKey.parse(row["key"]) for row in stored]
        return note.verify(newest.note, keys)

    async def _store(self, tenant_id: str, size: int, signed: str, keys: list[str]) -> None:
        async with self.pool.acquire() as conn, conn.transaction():
            # Nobody appends between the look for newer events and its commit.
            await LOCK_HEADS.fetch_all(conn, tenant_ids=[tenant_id])
            if await STORE.fetch_value(
                conn, tenant_id=tenant_id, size=size, note=signed, keys=keys
            ):
                await record(conn, [_event(tenant_id, size, signed)])
            await SETTLE.execute(conn, tenant_id=tenant_id, size=size)


def _event(tenant_id: str, size: int, signed: str) -> Any:
    context = Context(tenant_id=tenant_id, request_id=new_id("req"), traceparent=new_traceparent())
    data = {
        "tenant_id": tenant_id,
        "size": size,
        "checkpoint": signed,
        "changes": {"checkpoint": {"from": None, "to": signed}},
    }
    return create_entry(context, AuditCheckpoint, tenant_id, data)
