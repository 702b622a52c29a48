"""The tables of projects: tenants, their projects, API keys and signing keys.

The tenant comes first in every key, so that no query reads another tenant's rows.
"""

from datetime import datetime
from typing import Any, ClassVar

from chassis.database import ID
from chassis.idempotency import IDEMPOTENCY
from chassis.tables import id_field, table, time_field
from outbox.tables import CASCADES, declare
from sqlalchemy import (
    ARRAY,
    Column,
    Computed,
    ForeignKeyConstraint,
    Index,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel


class Model(SQLModel, registry=registry()):
    """The base class of this service's tables, with a registry of its own."""


METADATA = Model.metadata
declare(METADATA)
CASCADES.to_metadata(METADATA)
IDEMPOTENCY.to_metadata(METADATA)


def _name_and_slug() -> Any:
    """The text that `q` searches."""
    text = Computed("fold_search(name || E'\\n' || slug)", persisted=True)
    return Field(sa_column=Column(ID, text))


def _of_a_tenant() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE")


class TenantRow(Model, table=True):
    """`status` is active, suspended or deleting; all that a tenant has is deleted with its row."""

    __tablename__: ClassVar[str] = "tenants"
    __table_args__ = (
        UniqueConstraint("slug", name="tenants_slug_key"),
        Index("tenants_by_name", text('name COLLATE "C"'), "id"),
        # How many there are of each status.
        Index("tenants_by_status", "status"),
        Index(
            "tenants_search",
            "search",
            postgresql_using="gin",
            postgresql_ops={"search": "gin_trgm_ops"},
        ),
    )

    id: str = id_field(primary_key=True)
    name: str = Field(sa_type=Text)
    slug: str = id_field()
    status: str = Field(sa_type=Text)
    settings: str = Field(sa_column=Column(JSON, nullable=False))
    quotas: str = Field(sa_column=Column(JSON, nullable=False, server_default=text("'{}'")))
    search: str = _name_and_slug()
    version: int
    created_at: datetime = time_field()
    updated_at: datetime = time_field()


class ErasureRow(Model, table=True):
    """A service that has erased its part of a tenant which is being deleted."""

    __tablename__: ClassVar[str] = "erasures"
    __table_args__ = (_of_a_tenant(),)

    tenant_id: str = id_field(primary_key=True)
    service: str = id_field(primary_key=True)
    confirmed_at: datetime = time_field()


class ProjectRow(Model, table=True):
    """`settings` has every member, so that a new default changes no existing project."""

    __tablename__: ClassVar[str] = "projects"
    __table_args__ = (
        _of_a_tenant(),
        UniqueConstraint("tenant_id", "slug", name="projects_slug_key"),
        Index("projects_by_name", "tenant_id", text('name COLLATE "C"'), "id"),
        Index(
            "projects_search",
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
    environment: str = Field(sa_type=Text)
    allowed_origins: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    allowed_redirects: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    settings: str = Field(sa_column=Column(JSON, nullable=False))
    metadata_: str = Field(sa_column=Column("metadata", JSON, nullable=False))
    search: str = _name_and_slug()
    version: int
    created_at: datetime = time_field()
    updated_at: datetime = time_field()


class ApiKeyRow(Model, table=True):
    """`status` is active or revoked; expired is derived. Secrets are keyed hashes.

    No reference to the project: a key outlives it, so that its use is recognised as that of a
    revoked one.
    """

    __tablename__: ClassVar[str] = "api_keys"
    __table_args__ = (
        _of_a_tenant(),
        # The keys of a project, newest first, and the root keys of a tenant.
        Index("api_keys_by_project", "tenant_id", "project_id", "id"),
        # The keys that a key has made, some at a time.
        Index("api_keys_by_maker", "tenant_id", "created_by", "id"),
        # Those that count for the quotas.
        Index(
            "api_keys_active",
            "tenant_id",
            "project_id",
            postgresql_where=text("status = 'active'"),
        ),
        # Who calls: by secret, by the secret before a rotation, by the id in a token.
        Index("api_keys_secret_key", "secret_hash", unique=True),
        Index("api_keys_previous_secret_key", "previous_hash", unique=True),
        Index("api_keys_id_key", "id", unique=True),
    )

    tenant_id: str = id_field(primary_key=True)
    id: str = id_field(primary_key=True)
    project_id: str | None = id_field()
    type: str = Field(sa_type=Text)
    name: str = Field(sa_type=Text)
    prefix: str = Field(sa_type=Text)
    scopes: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    status: str = Field(sa_type=Text)
    secret_hash: str = id_field()
    created_by: str | None = id_field()
    created_at: datetime = time_field()
    expires_at: datetime | None = time_field()
    last_used_at: datetime | None = time_field()
    revoked_at: datetime | None = time_field()
    rotated_at: datetime | None = time_field()
    previous_hash: str | None = id_field()
    previous_expires_at: datetime | None = time_field()
    previous_last_used_at: datetime | None = time_field()
    # Counts the rotations: an access token names the secret that it was made for by it.
    secret_version: int = Field(default=1, sa_column_kwargs={"server_default": text("1")})


class RefusalRow(Model, table=True):
    """When the refused use of a key from a network (`chassis.client_addresses.network_of`) was last
    recorded.
    """

    __tablename__: ClassVar[str] = "refusals"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "key_id"], ["api_keys.tenant_id", "api_keys.id"], ondelete="CASCADE"
        ),
    )

    tenant_id: str = id_field(primary_key=True)
    key_id: str = id_field(primary_key=True)
    ip_address: str = id_field(primary_key=True)
    # Older rows are purged.
    recorded_at: datetime = time_field(index=True)


class SigningKeyRow(Model, table=True):
    """`status` retiring is shown as retired from `retires_at` on, and stored so a little later.

    The private half is encrypted, and null once the key will never sign again.
    """

    __tablename__: ClassVar[str] = "signing_keys"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "project_id"],
            ["projects.tenant_id", "projects.id"],
            ondelete="CASCADE",
        ),
        # One active and one next key of a project, whatever the concurrency.
        Index(
            "signing_keys_active_key",
            "tenant_id",
            "project_id",
            unique=True,
            postgresql_where=text("status = 'active'"),
        ),
        Index(
            "signing_keys_next_key",
            "tenant_id",
            "project_id",
            unique=True,
            postgresql_where=text("status = 'next'"),
        ),
        # Scheduled retirement: the keys whose grace period is over.
        Index(
            "signing_keys_retiring",
            "retires_at",
            postgresql_where=text("status = 'retiring'"),
        ),
        # One by its identifier alone.
        Index("signing_keys_by_id", "tenant_id", "id"),
        # The key set, which is public: the project alone is known.
        Index("signing_keys_by_project", "project_id"),
    )

    tenant_id: str = id_field(primary_key=True)
    project_id: str = id_field(primary_key=True)
    id: str = id_field(primary_key=True)
    algorithm: str = Field(sa_type=Text)
    status: str = Field(sa_type=Text)
    public_jwk: str = Field(sa_column=Column(JSONB, nullable=False))
    private_key: str | None = Field(sa_type=Text)
    created_at: datetime = time_field()
    activated_at: datetime | None = time_field()
    retires_at: datetime | None = time_field()


class TokenKeyRow(Model, table=True):
    """A key that signs access tokens: active, next, or retiring. Deleted once it is retired.

    The private half is encrypted, and null once the key will never sign again.
    """

    __tablename__: ClassVar[str] = "token_keys"
    __table_args__ = (
        Index(
            "token_keys_status_key",
            "status",
            unique=True,
            postgresql_where=text("status <> 'retiring'"),
        ),
    )

    id: str = id_field(primary_key=True)
    status: str = Field(sa_type=Text)
    public_jwk: str = Field(sa_column=Column(JSONB, nullable=False))
    private_key: str | None = Field(sa_type=Text)
    created_at: datetime = time_field()
    activated_at: datetime | None = time_field()
    retires_at: datetime | None = time_field()


TENANTS = table(TenantRow)
ERASURES = table(ErasureRow)
PROJECTS = table(ProjectRow)
API_KEYS = table(ApiKeyRow)
REFUSALS = table(RefusalRow)
SIGNING_KEYS = table(SigningKeyRow)
TOKEN_KEYS = table(TokenKeyRow)
