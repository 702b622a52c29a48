"""The tables of the outbox and the inbox; each service's metadata takes a copy by `declare`.

A service that has cascades takes a copy of that table besides.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    func,
)

_ID = Text(collation="C")
_TIME = DateTime(timezone=True)
_METADATA = MetaData()

OUTBOX = Table(
    "outbox",
    _METADATA,
    Column("position", BigInteger, Identity(always=True), primary_key=True),
    Column("event_id", _ID, nullable=False),
    Column("tenant_id", _ID, nullable=False),
    Column("subject", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("ip_address", Text),
    Column("user_agent", Text),
    Column("recorded_at", _TIME, nullable=False, server_default=func.now()),
    Column("published_at", _TIME),
    Column("person_id", _ID),
)
"""`subject` is the NATS subject; `payload` the event as JSON; `person_id` whom it is about."""
# What is to be erased of a deleted user.
Index(
    "outbox_person",
    OUTBOX.c.tenant_id,
    OUTBOX.c.person_id,
    postgresql_where=OUTBOX.c.person_id.is_not(None),
)
# The relay's only query: what is not published yet, in order. Empty when all is well.
Index("outbox_unpublished", OUTBOX.c.position, postgresql_where=OUTBOX.c.published_at.is_(None))
# Deleting after a day, and publishing again since a time.
Index("outbox_published_at", OUTBOX.c.published_at)

INBOX = Table(
    "inbox",
    _METADATA,
    Column("event_id", _ID, primary_key=True),
    Column("heard_at", _TIME, nullable=False, server_default=func.now(), index=True),
)
"""The events that took effect here; kept longer than the stream can deliver one again."""

DEAD_LETTERS = Table(
    "dead_letters",
    _METADATA,
    Column("event_id", _ID, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("ip_address", Text),
    Column("user_agent", Text),
    Column("error", Text, nullable=False),
    Column("failed_at", _TIME, nullable=False, server_default=func.now()),
    Column("tries", Integer, nullable=False),
)
"""Events that are given up after the last try, for an operator to look at and requeue."""

CASCADES = Table(
    "cascades",
    _METADATA,
    Column("tenant_id", _ID, primary_key=True),
    Column("kind", _ID, primary_key=True),
    Column("resource_id", _ID, primary_key=True),
    Column("detail", Text),
    Column("last_id", _ID),
    Column("context", Text, nullable=False),
    Column("requested_at", _TIME, nullable=False, server_default=func.now()),
)
"""What is left to do after a change on which much depends: see `outbox.cascade`."""


def declare(metadata: MetaData) -> None:
    """Adds the three tables to a service's own metadata, so that its migrations make them."""
    for table in (OUTBOX, INBOX, DEAD_LETTERS):
        table.to_metadata(metadata)
