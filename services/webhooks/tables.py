"""The tables of webhooks: endpoints, and what is sent to them.

The tenant comes first in every key. Events, deliveries and attempts are kept for 30 days in weekly
partitions by the event's time, which its deliveries and their attempts share. The queue holds the
pending deliveries, `fanouts` the events whose deliveries are not created yet.
"""

from datetime import datetime
from typing import Any, ClassVar

from chassis.database import ID
from chassis.idempotency import IDEMPOTENCY
from chassis.tables import id_field, table, time_field
from outbox.tables import CASCADES as ALL_CASCADES
from outbox.tables import declare
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    SmallInteger,
    Text,
    func,
    literal_column,
    text,
)
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel


class Model(SQLModel, registry=registry()):
    """The base of this service's tables: a registry of their own."""


METADATA = Model.metadata
declare(METADATA)
IDEMPOTENCY.to_metadata(METADATA)
CASCADES = ALL_CASCADES.to_metadata(METADATA)

_WEEKLY = {"postgresql_partition_by": "RANGE (created_at)"}


def _ids() -> Any:
    return Field(sa_column=Column(ARRAY(ID), nullable=False))


class WebhookRow(Model, table=True):
    """`failing_since` is the first failure after the last success. Before `paused_until` the
    circuit breaker lets no delivery begin; it is stored for people, and dispatchers do not read it.

    Rows that an older release makes get the `content_type` that it sends.
    """

    __tablename__: ClassVar[str] = "webhooks"

    tenant_id: str = id_field(primary_key=True)
    id: str = id_field(primary_key=True)
    url: str = Field(sa_type=Text)
    description: str | None = Field(sa_type=Text)
    events: list[str] = _ids()
    ignore_actor_ids: list[str] = _ids()
    content_type: str = Field(sa_type=Text, sa_column_kwargs={"server_default": "application/json"})
    status: str = Field(sa_type=Text)
    disabled_reason: str | None = Field(sa_type=Text)
    failing_since: datetime | None = time_field()
    paused_until: datetime | None = time_field()
    version: int
    created_at: datetime = time_field()
    updated_at: datetime = time_field()


class SecretRow(Model, table=True):
    """A signing secret, encrypted in `sealed`. The newest has no `expires_at`; others sign until
    theirs.
    """

    __tablename__: ClassVar[str] = "secrets"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "webhook_id"], ["webhooks.tenant_id", "webhooks.id"], ondelete="CASCADE"
        ),
    )

    tenant_id: str = id_field(primary_key=True)
    webhook_id: str = id_field(primary_key=True)
    created_at: datetime = time_field(primary_key=True)
    sealed: str = Field(sa_type=Text)
    expires_at: datetime | None = time_field()


class EventRow(Model, table=True):
    """An event as it is sent. `only_webhook_id`: a test event, for that webhook alone.

    `person_id` is whom it is about, `stream_sequence` the number of its message in the stream.
    """

    __tablename__: ClassVar[str] = "events"
    __table_args__ = (
        # What is to be erased of a person.
        Index(
            "events_person",
            "tenant_id",
            "person_id",
            "id",
            postgresql_where=text("person_id IS NOT NULL"),
        ),
        _WEEKLY,
    )

    tenant_id: str = id_field(primary_key=True)
    id: str = id_field(primary_key=True)
    created_at: datetime = time_field(primary_key=True)
    type: str = id_field()
    actor_id: str | None = id_field()
    only_webhook_id: str | None = id_field()
    payload: str = Field(sa_type=Text)
    person_id: str | None = id_field()
    stream_sequence: int | None = Field(sa_type=BigInteger)


class DeliveryColumns(SQLModel):
    """One event for one webhook. The id is made of both, so that the key excludes a second one."""

    tenant_id: str = id_field(primary_key=True)
    webhook_id: str = id_field(primary_key=True)
    id: str = id_field(primary_key=True)
    created_at: datetime = time_field(primary_key=True)
    event_id: str = id_field()
    event_type: str = id_field()
    status: str = Field(sa_type=Text)
    attempt_count: int
    next_attempt_at: datetime | None = time_field()
    completed_at: datetime | None = time_field()


class DeliveryRow(DeliveryColumns, Model, table=True):
    """A delivery. Its attempts are in a table of their own."""

    __tablename__: ClassVar[str] = "deliveries"
    __table_args__ = (
        # The filter on failed deliveries, which are few among many.
        Index(
            "deliveries_failed",
            "tenant_id",
            "webhook_id",
            "id",
            postgresql_where=text("status = 'failed'"),
        ),
        _WEEKLY,
    )


class AttemptRow(Model, table=True):
    """One POST of a delivery; `created_at` is the delivery's."""

    __tablename__: ClassVar[str] = "attempts"
    __table_args__ = (_WEEKLY,)

    tenant_id: str = id_field(primary_key=True)
    delivery_id: str = id_field(primary_key=True)
    number: int = Field(primary_key=True)
    created_at: datetime = time_field(primary_key=True)
    webhook_id: str = id_field()
    at: datetime = time_field()
    duration_ms: int
    response_status: int | None
    response_body: str | None = Field(sa_type=Text)
    error: str | None = Field(sa_type=Text)


class OutcomeRow(Model, table=True):
    """How many attempts of a webhook began in an hour, by what became of their deliveries."""

    __tablename__: ClassVar[str] = "outcomes"
    __table_args__ = (
        # Forgotten with the deliveries.
        Index("outcomes_by_hour", "hour"),
    )

    tenant_id: str = id_field(primary_key=True)
    webhook_id: str = id_field(primary_key=True)
    hour: datetime = time_field(primary_key=True)
    succeeded: int = Field(sa_type=BigInteger)
    retried: int = Field(sa_type=BigInteger)
    failed: int = Field(sa_type=BigInteger)


class DeliveryCountRow(Model, table=True):
    """How many deliveries of a day and a type a webhook has: `counted` is created, or a final
    status. Triggers of the database write it.
    """

    __tablename__: ClassVar[str] = "delivery_counts"
    __table_args__ = (
        # Forgotten with the deliveries.
        Index("delivery_counts_by_day", "day"),
    )

    tenant_id: str = id_field(primary_key=True)
    webhook_id: str = id_field(primary_key=True)
    day: datetime = time_field(primary_key=True)
    event_type: str = id_field(primary_key=True)
    counted: str = id_field(primary_key=True)
    count: int = Field(sa_type=BigInteger)


class QueueRow(Model, table=True):
    """A pending delivery. `kind` as in `rules.fairness`; `tries`: how often it failed in a row.

    `state`: `ready` to be claimed, in the order of `due_at`; `waiting` until `wake_at`; `leased`
    to a dispatcher until `wake_at`, by its `lease`; `parked` as it was found ready while its
    webhook was disabled.
    """

    __tablename__: ClassVar[str] = "queue"
    __table_args__ = (
        # Which webhooks have ready deliveries, found by skipping; and the next of each.
        Index(
            "queue_ready",
            "tenant_id",
            "webhook_id",
            "kind",
            "due_at",
            postgresql_where=text("state = 'ready'"),
        ),
        # Retries that become due, and leases that expire.
        Index("queue_wake", "wake_at", postgresql_where=text("state IN ('waiting', 'leased')")),
        # How many of a webhook are in flight.
        Index("queue_leased", "tenant_id", "webhook_id", postgresql_where=text("state = 'leased'")),
        # What goes on when the webhook is enabled again, some at a time.
        Index("queue_parked", "tenant_id", "webhook_id", postgresql_where=text("state = 'parked'")),
        # Deleted with their partition.
        Index("queue_created_at", "created_at"),
    )

    tenant_id: str = id_field(primary_key=True)
    webhook_id: str = id_field(primary_key=True)
    delivery_id: str = id_field(primary_key=True)
    event_id: str = id_field()
    created_at: datetime = time_field()
    kind: int = Field(sa_type=SmallInteger)
    tries: int = Field(sa_type=SmallInteger)
    state: str = Field(sa_type=Text)
    due_at: datetime = time_field()
    wake_at: datetime | None = time_field()
    lease: str | None = id_field()


class FanoutRow(Model, table=True):
    """An event of a tenant with many webhooks, whose deliveries are created in steps.

    `position` is the order of the stream; those up to `after_webhook_id` have their delivery.
    """

    __tablename__: ClassVar[str] = "fanouts"
    __table_args__ = (
        # How long the oldest one waits.
        Index("fanouts_queued_at", "queued_at"),
    )

    tenant_id: str = id_field(primary_key=True)
    position: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    event_id: str = id_field()
    created_at: datetime = time_field()
    after_webhook_id: str = id_field(sa_column_kwargs={"server_default": ""})
    queued_at: datetime = time_field(sa_column_kwargs={"server_default": func.now()})


class ErasureRow(Model, table=True):
    """A tenant that is being erased, until `done_at`. Late events of it are ignored for ever."""

    __tablename__: ClassVar[str] = "erasures"
    __table_args__ = (
        # The next tenant to erase.
        Index("erasures_open", "requested_at", postgresql_where=text("done_at IS NULL")),
    )

    tenant_id: str = id_field(primary_key=True)
    request_id: str = Field(sa_type=Text)
    traceparent: str = Field(sa_type=Text)
    requested_at: datetime = time_field()
    done_at: datetime | None = time_field()


class ErasedPersonRow(Model, table=True):
    """A deleted user, or an invitation of the user: what is stored about them is erased in steps.

    `deletion` is the message of the stream that said so, `after_event_id` where the next step goes
    on, `rounds` how often all was done, `due_at` when the next step is due; null when all is done.
    The row stays, so that an event that comes late is erased as well.
    """

    __tablename__: ClassVar[str] = "erased_people"
    __table_args__ = (Index("erased_people_due", "due_at"),)

    tenant_id: str = id_field(primary_key=True)
    person_id: str = id_field(primary_key=True)
    deletion: int | None = Field(sa_type=BigInteger)
    request_id: str = Field(sa_type=Text)
    traceparent: str = Field(sa_type=Text)
    after_event_id: str = id_field()
    rounds: int
    due_at: datetime | None = time_field()


WEBHOOKS = table(WebhookRow)
SECRETS = table(SecretRow)
EVENTS = table(EventRow)
DELIVERIES = table(DeliveryRow)
ATTEMPTS = table(AttemptRow)
OUTCOMES = table(OutcomeRow)
DELIVERY_COUNTS = table(DeliveryCountRow)
QUEUE = table(QueueRow)
FANOUTS = table(FanoutRow)
ERASURES = table(ErasureRow)
ERASED_PEOPLE = table(ErasedPersonRow)


# Written out, so that every plan can use the partial index that serves the state.
IS_READY = QUEUE.c.state == literal_column("'ready'")
IS_PARKED = QUEUE.c.state == literal_column("'parked'")
IS_LEASED = QUEUE.c.state == literal_column("'leased'")
HAS_WAKE_TIME = text("state IN ('waiting', 'leased')")
