"""The tables of identity.

Tenant first in every key, so that no query meets another tenant's rows. No row refers to another
by a foreign key: what a deleted user or organization leaves behind is deleted in steps, and until
then no reader shows it (`identity.cascades`).
"""

from datetime import datetime
from typing import Any, ClassVar

from chassis.database import ID, TIME
from chassis.idempotency import IDEMPOTENCY
from chassis.tables import id_field, table, time_field
from outbox.tables import CASCADES, declare
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Computed,
    Identity,
    Index,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import registry
from sqlalchemy.types import TypeEngine
from sqlmodel import Field, SQLModel


class Model(SQLModel, registry=registry()):
    """The parent of this service's tables: they have a registry of their own."""


METADATA = Model.metadata
declare(METADATA)
IDEMPOTENCY.to_metadata(METADATA)
CASCADES.to_metadata(METADATA)


def _computed(kind: TypeEngine[Any], expression: str) -> Any:
    """A column that PostgreSQL computes: a new row has no value for it."""
    return Field(sa_column=Column(kind, Computed(expression, persisted=True)))


class UserRow(Model, table=True):
    """`email_key` is the email without regard to case (chassis.case_folding); `search` is the text
    that `q` searches, with a line break before each field.
    """

    __tablename__: ClassVar[str] = "users"
    __table_args__ = (
        Index("users_email_key", "tenant_id", "email_key", unique=True),
        Index("users_username_key", "tenant_id", text("fold_case(username)"), unique=True),
        Index("users_external_id_key", "tenant_id", "external_id", unique=True),
        # The filter on status, and its count.
        Index("users_by_status", "tenant_id", "status", "id"),
        # The filter on days, and its count.
        Index("users_by_creation", "tenant_id", "created_at", "id"),
        Index("users_by_sign_in", "tenant_id", "signed_in_order", "id"),
        # `q`, anywhere and at the beginning of a word.
        Index(
            "users_search",
            "tenant_id",
            "search",
            postgresql_using="gin",
            postgresql_ops={"search": "gin_trgm_ops"},
        ),
        # The same of suspended users, who are few.
        Index(
            "users_search_suspended",
            "tenant_id",
            "search",
            postgresql_using="gin",
            postgresql_ops={"search": "gin_trgm_ops"},
            postgresql_where=text("status = 'suspended'"),
        ),
        # Whether more than 1,000 users match is soon seen among every sixteenth: those with two of
        # the 32 last signs of an identifier, which are random.
        Index(
            "users_search_sample",
            "tenant_id",
            "search",
            postgresql_using="gin",
            postgresql_ops={"search": "gin_trgm_ops"},
            postgresql_where=text("right(id, 1) < '2'"),
        ),
    )

    tenant_id: str = id_field(primary_key=True)
    id: str = id_field(primary_key=True)
    email: str = Field(sa_type=Text)
    email_key: str = _computed(ID, "fold_case(email)")
    email_verified: bool
    username: str | None = Field(sa_type=Text)
    name: str | None = Field(sa_type=Text)
    external_id: str | None = id_field()
    status: str = Field(sa_type=Text)
    metadata_: str = Field(sa_column=Column("metadata", JSON, nullable=False))
    last_sign_in_at: datetime | None = time_field()
    # Never null, for cursors. Not the year 1, which asyncpg takes for minus infinity.
    signed_in_order: datetime = _computed(
        TIME, "coalesce(last_sign_in_at, '1970-01-01 00:00:00+00')"
    )
    search: str = _computed(
        ID,
        "fold_search(E'\\n' || email || E'\\n' || coalesce(username, '') || E'\\n'"
        " || coalesce(name, '') || E'\\n' || coalesce(external_id, ''))",
    )
    version: int
    created_at: datetime = time_field()
    updated_at: datetime = time_field()


class SessionRow(Model, table=True):
    """A session of a user with a project. `status` is active or revoked; expired is derived.

    It ends at `ends_at` in any case, and before that when it is not used for `idle_timeout`
    seconds: `expires_at` is the earlier of the two. `family_hash` is the keyed hash of the part
    that all its refresh tokens share, `refresh_hash` that of the newest token.
    """

    __tablename__: ClassVar[str] = "sessions"
    __table_args__ = (
        # The live sessions of a user: no more than the quota, however many have ended.
        Index(
            "sessions_by_user",
            "tenant_id",
            "user_id",
            text("(CASE WHEN status = 'active' THEN expires_at END)"),
        ),
        # The list of a user's sessions, the newest first.
        Index("sessions_of_user", "tenant_id", "user_id", "id"),
        # Revoked when their project is deleted.
        Index("sessions_by_project", "tenant_id", "project_id"),
        # How many are live in the tenant.
        Index(
            "sessions_live",
            "tenant_id",
            "expires_at",
            postgresql_where=text("status = 'active'"),
        ),
        # A refresh token alone identifies its session.
        Index("sessions_family_key", "family_hash", unique=True),
        # Purged a month after their end.
        Index("sessions_by_expiry", "expires_at"),
    )

    tenant_id: str = id_field(primary_key=True)
    id: str = id_field(primary_key=True)
    user_id: str = id_field()
    project_id: str = id_field()
    status: str = Field(sa_type=Text)
    ip_address: str | None = Field(sa_type=Text)
    user_agent: str | None = Field(sa_type=Text)
    created_at: datetime = time_field()
    last_active_at: datetime = time_field()
    expires_at: datetime = time_field()
    ends_at: datetime = time_field()
    idle_timeout: int
    organization_id: str | None = id_field()
    family_hash: str | None = id_field()
    refresh_hash: str | None = id_field()


class OrganizationRow(Model, table=True):
    """`member_count` is updated by the statements that add and remove members; read it as
    `identity.cascades.MEMBER_COUNT`.
    """

    __tablename__: ClassVar[str] = "organizations"
    __table_args__ = (
        UniqueConstraint("tenant_id", "slug", name="organizations_slug_key"),
        Index("organizations_by_name", "tenant_id", text('name COLLATE "C"'), "id"),
        Index(
            "organizations_search",
            "tenant_id",
            "search",
            postgresql_using="gin",
            postgresql_ops={"search": "gin_trgm_ops"},
        ),
    )

    tenant_id: str = id_field(primary_key=True)
    id: str = id_field(primary_key=True)
    name: str = Field(sa_type=Text)
    slug: str = id_field()
    logo_url: str | None = Field(sa_type=Text)
    settings: str = Field(sa_column=Column(JSON, nullable=False))
    metadata_: str = Field(sa_column=Column("metadata", JSON, nullable=False))
    search: str = _computed(ID, "fold_search(name || E'\\n' || slug)")
    max_members: int | None
    member_count: int
    version: int
    created_at: datetime = time_field()
    updated_at: datetime = time_field()


class MemberRow(Model, table=True):
    """A user in an organization."""

    __tablename__: ClassVar[str] = "members"
    __table_args__ = (
        # The organizations of a user.
        Index("members_by_user", "tenant_id", "user_id", "organization_id"),
        # The list of members, the newest first.
        Index("members_by_joining", "tenant_id", "organization_id", "joined_at", "user_id"),
        # The list of one role, and the rule that the last owner stays.
        Index("members_by_role", "tenant_id", "organization_id", "role", "joined_at", "user_id"),
    )

    tenant_id: str = id_field(primary_key=True)
    organization_id: str = id_field(primary_key=True)
    user_id: str = id_field(primary_key=True)
    role: str = Field(sa_type=Text)
    permissions: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    joined_at: datetime = time_field()


class InvitationRow(Model, table=True):
    """`status` is pending, accepted, revoked or expired; a pending one past `expires_at` is shown
    as expired. The token is stored as a keyed hash; `lifetime` is in seconds. `user_id` is the
    user who accepted it, or who had the email before another one.
    """

    __tablename__: ClassVar[str] = "invitations"
    __table_args__ = (
        # One pending invitation for each email of an organization.
        Index(
            "invitations_pending_key",
            "tenant_id",
            "organization_id",
            "email_key",
            unique=True,
            postgresql_where=text("status = 'pending'"),
        ),
        # One by its identifier alone.
        Index("invitations_by_id", "tenant_id", "id"),
        # Deleted with the user of that email.
        Index("invitations_by_email", "tenant_id", "email_key"),
        # Deleted with the user of a former email.
        Index(
            "invitations_by_user",
            "tenant_id",
            "user_id",
            postgresql_where=text("user_id IS NOT NULL"),
        ),
        # How many are pending, however many have expired.
        Index(
            "invitations_pending",
            "tenant_id",
            "organization_id",
            "expires_at",
            postgresql_where=text("status = 'pending'"),
        ),
        # The token alone identifies an invitation.
        Index("invitations_token_key", "token_hash", unique=True),
    )

    tenant_id: str = id_field(primary_key=True)
    organization_id: str = id_field(primary_key=True)
    id: str = id_field(primary_key=True)
    email: str = Field(sa_type=Text)
    email_key: str = _computed(ID, "fold_case(email)")
    email_verified: bool
    user_id: str | None = id_field()
    role: str = Field(sa_type=Text)
    permissions: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    status: str = Field(sa_type=Text)
    token_hash: str = id_field()
    invited_by: str | None = id_field()
    lifetime: int
    expires_at: datetime = time_field()
    created_at: datetime = time_field()
    accepted_at: datetime | None = time_field()


class CounterRow(Model, table=True):
    """A change of how many there are of something: the sum of the rows is how many there are.

    `what` is `user:<status>`, `organization` or `invitation:<organization>:<status>`; a `folded`
    row is the sum of rows that it replaced. `users` counts those of a block, the users from the
    identifier `block` to where the next begins; in a row that is not folded yet `block` is the
    beginning of the user's identifier.
    """

    __tablename__: ClassVar[str] = "tallies"
    __table_args__ = (
        # The rows that are not folded yet.
        Index("tallies_fresh", "id", postgresql_where=text("NOT folded")),
        # The block of a user.
        Index("tallies_blocks", "tenant_id", "block", postgresql_where=text("what = 'users'")),
    )

    tenant_id: str = id_field(primary_key=True)
    what: str = id_field(primary_key=True)
    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    count: int = Field(sa_type=BigInteger)
    folded: bool = Field(sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    block: str | None = id_field()


class ErasureRow(Model, table=True):
    """A tenant that is being erased, and the request that demanded it."""

    __tablename__: ClassVar[str] = "erasures"

    tenant_id: str = id_field(primary_key=True)
    request_id: str = Field(sa_type=Text)
    traceparent: str = Field(sa_type=Text)
    requested_at: datetime = time_field()


USERS = table(UserRow)
SESSIONS = table(SessionRow)
ORGANIZATIONS = table(OrganizationRow)
MEMBERS = table(MemberRow)
INVITATIONS = table(InvitationRow)
COUNTERS = table(CounterRow)
ERASURES = table(ErasureRow)
