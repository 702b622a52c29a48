"""The tables of identity.

Tenant first in every key, so that no query meets another tenant's rows.
"""

from datetime import datetime
from typing import ClassVar

from chassis.database import ID, TIME
from chassis.idempotency import IDEMPOTENCY
from chassis.tables import id_field, table, time_field
from outbox.tables import declare
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Computed,
    ForeignKeyConstraint,
    Identity,
    Index,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel


class Model(SQLModel, registry=registry()):
    """The base of this service's tables: a registry of their own."""


METADATA = Model.metadata
declare(METADATA)
IDEMPOTENCY.to_metadata(METADATA)


class UserRow(Model, table=True):
    """`email_key` is the email without regard to case; `search` what `q` looks through, a line
    break before each field.
    """

    __tablename__: ClassVar[str] = "users"
    __table_args__ = (
        Index("users_email_key", "tenant_id", "email_key", unique=True),
        Index("users_username_key", "tenant_id", text("lower(username)"), unique=True),
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
    )

    tenant_id: str = id_field(primary_key=True)
    id: str = id_field(primary_key=True)
    email: str = Field(sa_type=Text)
    email_key: str = Field(sa_column=Column(ID, Computed("lower(email)", persisted=True)))
    email_verified: bool
    username: str | None = Field(sa_type=Text)
    name: str | None = Field(sa_type=Text)
    external_id: str | None = id_field()
    status: str = Field(sa_type=Text)
    metadata_: str = Field(sa_column=Column("metadata", JSONB, nullable=False))
    last_sign_in_at: datetime | None = time_field()
    # Never null, for cursors. Not the year 1, which asyncpg takes for minus infinity.
    signed_in_order: datetime = Field(
        sa_column=Column(
            TIME, Computed("coalesce(last_sign_in_at, '1970-01-01 00:00:00+00')", persisted=True)
        )
    )
    search: str = Field(
        sa_column=Column(
            Text,
            Computed(
                # One operand in the collation C would fold A to Z only.
                "lower((E'\\n' || email || E'\\n' || coalesce(username, '') || E'\\n'"
                " || coalesce(name, '') || E'\\n' || coalesce(external_id, ''))"
                ' COLLATE "default")',
                persisted=True,
            ),
        )
    )
    version: int
    created_at: datetime = time_field()
    updated_at: datetime = time_field()


class SessionRow(Model, table=True):
    """A session of a user with a project; `status` active until revoked, expiry is derived.

    It ends at `ends_at` whatever happens, and before that when it is not used for `idle_timeout`
    seconds: `expires_at` is the earlier of the two. Of its refresh tokens, `family_hash` is that
    of the part that they all share and `refresh_hash` that of the newest one, both keyed.
    """

    __tablename__: ClassVar[str] = "sessions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "user_id"], ["users.tenant_id", "users.id"], ondelete="CASCADE"
        ),
        # The live sessions of a user, newest first.
        Index("sessions_by_user", "tenant_id", "user_id", "id"),
        # Revoked with their project.
        Index("sessions_by_project", "tenant_id", "project_id"),
        # Refreshing: the token alone says which session it is.
        Index("sessions_family_key", "family_hash", unique=True),
        # Purged some time after their end.
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
    """`member_count` is kept by the statements that add and remove members."""

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
    settings: str = Field(sa_column=Column(JSONB, nullable=False))
    metadata_: str = Field(sa_column=Column("metadata", JSONB, nullable=False))
    search: str = Field(
        sa_column=Column(
            Text, Computed("lower((name || E'\\n' || slug) COLLATE \"default\")", persisted=True)
        )
    )
    max_members: int | None
    member_count: int
    version: int
    created_at: datetime = time_field()
    updated_at: datetime = time_field()


class MemberRow(Model, table=True):
    """A user in an organization."""

    __tablename__: ClassVar[str] = "members"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "organization_id"],
            ["organizations.tenant_id", "organizations.id"],
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "user_id"], ["users.tenant_id", "users.id"], ondelete="CASCADE"
        ),
        # The organizations of a user.
        Index("members_by_user", "tenant_id", "user_id", "organization_id"),
        # The list, newest joined first.
        Index("members_by_joining", "tenant_id", "organization_id", "joined_at", "user_id"),
        # The same of one role, and the owners for the last-owner rule.
        Index("members_by_role", "tenant_id", "organization_id", "role", "joined_at", "user_id"),
    )

    tenant_id: str = id_field(primary_key=True)
    organization_id: str = id_field(primary_key=True)
    user_id: str = id_field(primary_key=True)
    role: str = Field(sa_type=Text)
    permissions: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    joined_at: datetime = time_field()


class InvitationRow(Model, table=True):
    """`status` is pending, accepted or revoked; expired is derived from `expires_at`.

    The token is a keyed hash; `lifetime` is in seconds.
    """

    __tablename__: ClassVar[str] = "invitations"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "organization_id"],
            ["organizations.tenant_id", "organizations.id"],
            ondelete="CASCADE",
        ),
        # One pending invitation for each email of an organization.
        Index(
            "invitations_pending_key",
            "tenant_id",
            "organization_id",
            "email_key",
            unique=True,
            postgresql_where=text("status = 'pending'"),
        ),
        # Erased with the person.
        Index("invitations_by_email", "tenant_id", "email_key"),
        # Accepting: the token alone decides.
        Index("invitations_token_key", "token_hash", unique=True),
    )

    tenant_id: str = id_field(primary_key=True)
    organization_id: str = id_field(primary_key=True)
    id: str = id_field(primary_key=True)
    email: str = Field(sa_type=Text)
    email_key: str = Field(sa_column=Column(ID, Computed("lower(email)", persisted=True)))
    role: str = Field(sa_type=Text)
    permissions: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    status: str = Field(sa_type=Text)
    token_hash: str = id_field()
    invited_by: str | None = id_field()
    lifetime: int
    expires_at: datetime = time_field()
    created_at: datetime = time_field()
    accepted_at: datetime | None = time_field()


class TallyRow(Model, table=True):
    """A difference in how many there are of something; the sum is what there is.

    `what` is `user:<status>` or `organization`; `folded` rows sum up what others said.
    """

    __tablename__: ClassVar[str] = "tallies"
    __table_args__ = (
        # What is still to be folded.
        Index("tallies_fresh", "id", postgresql_where=text("NOT folded")),
    )

    tenant_id: str = id_field(primary_key=True)
    what: str = id_field(primary_key=True)
    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    count: int = Field(sa_type=BigInteger)
    folded: bool = Field(sa_column=Column(Boolean, nullable=False, server_default=text("false")))


class ErasureRow(Model, table=True):
    """A tenant that is being erased, and the request that asked for it."""

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
TALLIES = table(TallyRow)
ERASURES = table(ErasureRow)
