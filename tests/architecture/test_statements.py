"""Every SQL statement is bound to its tenant, and is one that the migrated database can run."""

import asyncio

import asyncpg
import pytest
from chassis import idempotency, migrations
from chassis.statements import Statement
from identity.tables import MEMBERS, ORGANIZATIONS, USERS
from sqlalchemy import bindparam, delete, exists, insert, select, update
from support.tenancy import statements_of, untied
from tenantry.servers import Servers

SERVICES = ["identity", "projects", "webhooks", "audit"]

ACROSS_TENANTS = {
    # Who has nothing but a secret is found by its keyed hash, unique among all tenants.
    "identity.organizations.accept_invitation.GET_BY_TOKEN",
    "identity.sessions.refresh_session.GET_BY_FAMILY",
    "projects.keys.credentials.GET_BY_HASH",
    "projects.keys.credentials.GET_BY_ID",
    # Public, and named by the project alone.
    "projects.signing.jwks.LIST_PUBLIC_KEYS",
    # The operator's list of tenants.
    "projects.tenants.LIST",
    # Work lists of background tasks, and the old that they forget.
    "audit.tenant_erasure.TENANT_ERASURE",
    "identity.tenant_erasure.TENANT_ERASURE",
    "identity.retention.PURGE",
    "webhooks.tenant_erasure.TENANT_ERASURE",
    "projects.keys.key_usage.PURGE_REFUSALS",
    "projects.signing.key_retirement.RETIRE_DUE",
    "webhooks.retention.DELETE_EXPIRED",
    # Secrets are encrypted under the encryption keys of the installation.
    "projects.signing.key_rotation.reencrypt_secrets",
    "webhooks.endpoints.key_rotation.reencrypt_secrets",
    # The dispatcher serves all tenants, and what it takes it takes by tenant.
    "webhooks.queue.claim.CLAIM",
    "webhooks.queue.claim.SECONDS_TO_NEXT_WAKE",
    "webhooks.queue.claim.WAKE",
    "webhooks.queue.ready.LIST_TENANTS",
}
"""The statements that meet rows of several tenants, and why they may."""


def _unbound(service: str) -> set[str]:
    statements = statements_of(service).items()
    return {name for name, statement in statements if untied(statement)}


@pytest.mark.parametrize("service", SERVICES)
def test_every_statement_is_bound_to_a_tenant(service: str) -> None:
    found = {name.partition(":")[0] for name in _unbound(service)}
    known = {name for name in ACROSS_TENANTS if name.startswith(f"{service}.")}
    assert found == known, "bind it to tenant_id, or argue it above"


def test_what_is_stored_for_a_repeat_is_bound_too() -> None:
    assert untied(idempotency._LOCK_AND_GET) == untied(idempotency._CREATE) == []


def test_an_unbound_table_is_noticed_wherever_it_hides() -> None:
    mine = USERS.c.tenant_id == bindparam("tenant_id")
    joined = USERS.c.tenant_id == MEMBERS.c.tenant_id
    others = MEMBERS.alias("others")
    for expression, unbound in (
        (select(USERS.c.id).where(mine), []),
        (select(USERS.c.id), ["users"]),
        (select(USERS.c.id).where(mine | (USERS.c.id == "usr")), ["users"]),
        (select(USERS.c.id).where(mine, exists().where(joined)), []),
        (select(USERS.c.id).where(mine, exists().where(MEMBERS.c.user_id == "x")), ["members"]),
        (select(USERS.c.id).join(MEMBERS, joined).where(mine), []),
        (select(USERS.c.id).join(MEMBERS, joined), ["members", "users"]),
        (
            select(USERS.c.id).join(MEMBERS, USERS.c.id == MEMBERS.c.user_id).where(mine),
            ["members"],
        ),
        (select(USERS.c.id).where(mine, exists(select(others.c.role))), ["others"]),
        (select(select(ORGANIZATIONS.c.id).cte("some")), ["organizations"]),
        (update(USERS).values(name="x"), ["users"]),
        (delete(USERS).where(USERS.c.id.in_(select(USERS.c.id).where(mine))), ["users"]),
        (insert(MEMBERS).from_select(["user_id"], select(USERS.c.id).where(mine)), ["members"]),
        (insert(USERS).values(id="x", tenant_id=bindparam("tenant_id")), []),
    ):
        assert untied(Statement(expression)) == unbound, str(expression)
        Statement.all.pop()


@pytest.mark.parametrize("service", SERVICES)
async def test_every_statement_can_be_prepared_and_returns_the_columns_it_names(
    service: str, servers: Servers
) -> None:
    await asyncio.to_thread(migrations.upgrade, service, servers.migration_url(service))
    conn = await asyncpg.connect(servers.database_url(service), statement_cache_size=0)
    try:
        for name, statement in statements_of(service).items():
            try:
                prepared = await conn.prepare(statement.sql)
            except asyncpg.PostgresError as error:
                pytest.fail(f"{name}: {error}\n{statement.sql}")
            columns = tuple(each.name for each in prepared.get_attributes())
            assert statement.columns in ((), columns), name
    finally:
        await conn.close()


@pytest.mark.parametrize("service", SERVICES)
async def test_the_tables_and_the_migrations_agree(service: str, servers: Servers) -> None:
    url = servers.migration_url(service)
    await asyncio.to_thread(migrations.upgrade, service, url)
    assert await asyncio.to_thread(migrations.pending, service, url) == []
