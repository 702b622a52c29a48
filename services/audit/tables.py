"""The tables of audit: a chained log that is only appended to, and beside it what can be erased.

The tenant comes first in every key. Events and personal parts are in monthly partitions by
`filed_at`: each has consecutive events of every tenant, and retention drops the first of them.
"""

from datetime import datetime
from typing import Any, ClassVar

from chassis.idempotency import IDEMPOTENCY
from chassis.tables import id_field, table, time_field
from outbox.tables import declare
from sqlalchemy import BigInteger, Identity, Index, LargeBinary, SmallInteger, Text, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel


class Model(SQLModel, registry=registry()):
    """The base class of this service's tables, with a registry of its own."""


METADATA = Model.metadata
declare(METADATA)
IDEMPOTENCY.to_metadata(METADATA)

DIMENSIONS = ("action", "resource_type", "actor_type", "actor_id", "resource_id")
"""By each of these an event has an ordinal. A family such as `user.*` is the resource type."""
STEP = 64
"""An event whose ordinal is a multiple of this is a milestone, from which a far page is found."""

_MONTHLY = {"postgresql_partition_by": "RANGE (filed_at)"}


def _number(**options: Any) -> Any:
    return Field(sa_type=BigInteger, **options)


def _by_value(name: str) -> Index:
    """The events of one value, newest first, and which of them was the last before a moment."""
    return Index(f"events_by_{name}", "tenant_id", name, "sequence")


def _milestones(name: str) -> Index:
    """Where the n-th event of a value is; a sixty-fourth of an index."""
    where = text(f"{name}_ordinal % {STEP} = 0")
    columns = ("tenant_id", name, f"{name}_ordinal")
    return Index(f"events_{name}_milestones", *columns, postgresql_where=where)


class EventRow(Model, table=True):
    """One event, as it was received and chained; the runtime role can neither change nor delete it.

    `changes` is canonical JSON as text, because the digest is over its very bytes. `filed_at` is
    the newest `created_at` of the tenant so far: unlike that it never falls as `sequence` grows.
    `lateness` is the class of the delay between both: see `audit.lateness`.
    """

    __tablename__: ClassVar[str] = "events"
    __table_args__ = (
        # One event by its identifier.
        Index("events_by_id", "tenant_id", "id"),
        # The last event filed by a moment: dates become sequences.
        Index("events_by_filed_at", "tenant_id", "filed_at", "sequence"),
        # Which events created before a moment were filed after it.
        Index(
            "events_late",
            "tenant_id",
            "lateness",
            "filed_at",
            postgresql_where=text("lateness > 0"),
        ),
        # What one request did.
        _by_value("request_id"),
        *(_by_value(name) for name in DIMENSIONS),
        # The one combination that is common and may be rare: "what did this key do of that kind".
        Index("events_by_actor_and_action", "tenant_id", "actor_id", "action", "sequence"),
        *(_milestones(name) for name in DIMENSIONS),
        _MONTHLY,
    )

    tenant_id: str = id_field(primary_key=True)
    sequence: int = _number(primary_key=True)
    filed_at: datetime = time_field(primary_key=True)
    id: str = id_field()
    action: str = id_field()
    resource_type: str = id_field()
    resource_id: str = id_field()
    actor_type: str = id_field()
    actor_id: str | None = id_field()
    request_id: str = id_field()
    traceparent: str = Field(sa_type=Text)
    reason: str | None = Field(sa_type=Text)
    changes: str = Field(sa_type=Text)
    created_at: datetime = time_field()
    commitment: bytes | None = Field(sa_type=LargeBinary)
    digest: bytes = Field(sa_type=LargeBinary)
    lateness: int = Field(sa_type=SmallInteger)
    action_ordinal: int = _number()
    resource_type_ordinal: int = _number()
    actor_type_ordinal: int = _number()
    actor_id_ordinal: int | None = _number()
    resource_id_ordinal: int = _number()


class PersonalRow(Model, table=True):
    """The erasable part of an event: from where it was done, and what changed about a person.

    Its commitment is in the event. `actor_user` is the user whose address and agent it has;
    `about_user` the one whose fields have changed: `subject_changes`, which `changes` bind. Rows
    of before have the fields as `changes`, and perhaps an `about_user` of whom they have nothing.
    """

    __tablename__: ClassVar[str] = "personal"
    __table_args__ = (
        # The data of a user, to be erased with the user.
        Index(
            "personal_by_actor",
            "tenant_id",
            "actor_user",
            postgresql_where=text("actor_user IS NOT NULL"),
        ),
        Index(
            "personal_by_subject",
            "tenant_id",
            "about_user",
            postgresql_where=text("about_user IS NOT NULL"),
        ),
        _MONTHLY,
    )

    tenant_id: str = id_field(primary_key=True)
    sequence: int = _number(primary_key=True)
    filed_at: datetime = time_field(primary_key=True)
    salt: bytes = Field(sa_type=LargeBinary)
    ip_address: str | None = Field(sa_type=Text)
    user_agent: str | None = Field(sa_type=Text)
    changes: str = Field(sa_type=Text)
    actor_user: str | None = id_field()
    about_user: str | None = id_field()
    subject_salt: bytes | None = Field(sa_type=LargeBinary)
    subject_changes: str | None = Field(sa_type=Text)


class HeadRow(Model, table=True):
    """The last event of a tenant. Its lock makes writers of one tenant wait for each other.

    The database moves it when events are appended, and in no other way. With `closed_at` it is the
    tombstone of an erased tenant, with the length of its trail: events that come late are ignored.
    """

    __tablename__: ClassVar[str] = "heads"

    tenant_id: str = id_field(primary_key=True)
    sequence: int = _number()
    digest: bytes | None = Field(sa_type=LargeBinary)
    filed_at: datetime | None = time_field()
    closed_at: datetime | None = time_field()


class CounterRow(Model, table=True):
    """How many events a value of a dimension has had: the last ordinal."""

    __tablename__: ClassVar[str] = "counters"

    tenant_id: str = id_field(primary_key=True)
    dimension: str = id_field(primary_key=True)
    value: str = id_field(primary_key=True)
    count: int = _number()


class CheckpointRow(Model, table=True):
    """Up to where retention has dropped a tenant's events: the chain continues from this digest."""

    __tablename__: ClassVar[str] = "checkpoints"

    tenant_id: str = id_field(primary_key=True)
    sequence: int = _number()
    digest: bytes = Field(sa_type=LargeBinary)


class MarkRow(Model, table=True):
    """What was done to the past of a trail, and when: only the owner writes it.

    `kind`: `closed` (it takes no event any more), `erased` (with its tenant), `dropped` (its first
    events, by retention), `restored` (from a backup: what came after is lost). `sequence` and
    `digest` are those of the last event that it concerns.
    """

    __tablename__: ClassVar[str] = "marks"

    tenant_id: str = id_field(primary_key=True)
    sequence: int = _number(primary_key=True)
    kind: str = id_field(primary_key=True)
    digest: bytes | None = Field(sa_type=LargeBinary)
    marked_at: datetime = time_field(sa_column_kwargs={"server_default": text("now()")})


class TileRow(Model, table=True):
    """256 hashes of a tenant's Merkle tree, 32 bytes each, and the root over them.

    Level 0 has those of the leaves, each other one the roots of the tiles below (C2SP tlog-tiles).
    Only complete tiles are stored, by a function of the owner, and they never change.
    """

    __tablename__: ClassVar[str] = "tiles"

    tenant_id: str = id_field(primary_key=True)
    level: int = Field(sa_type=SmallInteger, primary_key=True)
    index: int = _number(primary_key=True)
    hashes: bytes = Field(sa_type=LargeBinary)
    root: bytes = Field(sa_type=LargeBinary)


class LeafRow(Model, table=True):
    """The hash of a leaf whose event retention has dropped before its tile was complete."""

    __tablename__: ClassVar[str] = "leaves"

    tenant_id: str = id_field(primary_key=True)
    sequence: int = _number(primary_key=True)
    hash: bytes = Field(sa_type=LargeBinary)


class SignedCheckpointRow(Model, table=True):
    """The newest checkpoint of a tenant, a signed note of a tree with `size` leaves."""

    __tablename__: ClassVar[str] = "signed_checkpoints"

    tenant_id: str = id_field(primary_key=True)
    size: int = _number()
    note: str = Field(sa_type=Text)
    signed_at: datetime = time_field()


class VerifierKeyRow(Model, table=True):
    """A key that a checkpoint of the tenant was signed by, the newest at the highest position."""

    __tablename__: ClassVar[str] = "verifier_keys"

    tenant_id: str = id_field(primary_key=True)
    key: str = id_field(primary_key=True)
    position: int = Field(sa_type=BigInteger, sa_column_args=[Identity(always=True)])


class PendingCheckpointRow(Model, table=True):
    """A tenant of which something happened since its checkpoint, other than a checkpoint."""

    __tablename__: ClassVar[str] = "pending_checkpoints"

    tenant_id: str = id_field(primary_key=True)


class RetentionRow(Model, table=True):
    """How many days events are kept at least, for ever without a row: `tenantry migrate` sets it.

    The runtime role can only read it, and drops nothing that is younger.
    """

    __tablename__: ClassVar[str] = "retention"

    is_set: bool = Field(primary_key=True)
    days: int


class ForgottenRow(Model, table=True):
    """A deleted user: their personal data is not stored any more, even if it comes later."""

    __tablename__: ClassVar[str] = "forgotten"

    tenant_id: str = id_field(primary_key=True)
    user_id: str = id_field(primary_key=True)
    forgotten_at: datetime = time_field()


class ErasureRow(Model, table=True):
    """A tenant still to be erased, and the request that asked for it."""

    __tablename__: ClassVar[str] = "erasures"

    tenant_id: str = id_field(primary_key=True)
    request_id: str = id_field()
    traceparent: str = Field(sa_type=Text)
    requested_at: datetime = time_field()


EVENTS = table(EventRow)
PERSONAL = table(PersonalRow)
HEADS = table(HeadRow)
COUNTERS = table(CounterRow)
CHECKPOINTS = table(CheckpointRow)
LOGS = HEADS.outerjoin(CHECKPOINTS, CHECKPOINTS.c.tenant_id == HEADS.c.tenant_id)
"""Where each tenant's log ends, and from where on its events are still there."""
MARKS = table(MarkRow)
RETENTION = table(RetentionRow)
TILES = table(TileRow)
LEAVES = table(LeafRow)
SIGNED_CHECKPOINTS = table(SignedCheckpointRow)
VERIFIER_KEYS = table(VerifierKeyRow)
PENDING_CHECKPOINTS = table(PendingCheckpointRow)
FORGOTTEN = table(ForgottenRow)
ERASURES = table(ErasureRow)
