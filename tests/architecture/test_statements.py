"""Every SQL statement is bound to its tenant, and is one that the migrated database can run.

Whether a statement can meet another tenant's rows is read from its expression. Each scope (SELECT,
UPDATE or DELETE with its own WHERE and ON) must tie every table that has a `tenant_id` to a
parameter, directly or through tables that are tied; an INSERT must give it.
"""

import asyncio
import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any, get_args

import asyncpg
import pytest
from chassis import idempotency, migrations
from chassis.key_rotation import KeyRotation
from chassis.list_statements import Start
from chassis.listing import Listing
from chassis.statements import Statement
from identity.tables import MEMBERS, ORGANIZATIONS, USERS
from outbox.crud import Crud
from outbox.tenant_erasure import TenantErasure
from sqlalchemy import (
    CTE,
    Alias,
    BinaryExpression,
    BindParameter,
    ColumnElement,
    Delete,
    Exists,
    FromClause,
    Insert,
    Join,
    Select,
    Table,
    Update,
    bindparam,
    delete,
    exists,
    insert,
    select,
    update,
)
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import Tuple
from sqlalchemy.sql.expression import ClauseElement, CollectionAggregate, FunctionElement
from tenantry.servers import Servers

Scope = Select[Any] | Update | Delete

SERVICES = ["identity", "projects", "webhooks", "audit"]

ACROSS_TENANTS = {
    # Who has nothing but a secret is found by its keyed hash, unique among all tenants.
    "identity.organizations.accept_invitation.GET_BY_TOKEN",
    "identity.sessions.refresh_session.GET_BY_FAMILY",
    "projects.keys.credentials.GET_BY_HASH",
    "projects.keys.credentials.GET_BY_ID",
    # Identifiers of users and invitations are unique among all tenants.
    "chassis.idempotency.ERASE",
    # Public, and named by the project alone.
    "projects.signing.jwks.LIST_PUBLIC_KEYS",
    # The operator's list of tenants, their number, and one by its slug.
    "projects.tenants.LIST",
    "projects.overview.COUNT_TENANTS",
    "projects.search.GET_TENANT_BY_SLUG",
    # Work lists of background tasks, and the old that they forget.
    "audit.checkpoints.LIST_PENDING",
    "audit.tenant_erasure.TENANT_ERASURE",
    "identity.tenant_erasure.TENANT_ERASURE",
    "identity.retention.PURGE",
    "webhooks.tenant_erasure.TENANT_ERASURE",
    "projects.keys.key_usage.PURGE_REFUSALS",
    "projects.signing.key_retirement.RETIRE_DUE",
    "webhooks.retention.DELETE_EXPIRED",
    "webhooks.retention.DELETE_OLD_OUTCOMES",
    # Secrets are encrypted under the encryption keys of the installation.
    "projects.signing.key_rotation.reencrypt_secrets",
    "webhooks.endpoints.key_rotation.reencrypt_secrets",
    # Whose turn it is: a step then works on one tenant.
    "outbox.cascade.TAKE",
    # The dispatcher serves all tenants, and what it takes it takes by tenant.
    "webhooks.queue.claim.CLAIM",
    "webhooks.queue.claim.SECONDS_TO_NEXT_WAKE",
    "webhooks.queue.claim.WAKE",
    "webhooks.queue.ready.LIST_TENANTS",
    # Which tenant's turn it is, and for how long the oldest event waits.
    "webhooks.fanout_steps.GET_NEXT_TENANT",
    "webhooks.person_erasure.GET_DUE",
    "webhooks.fanout_steps.GET_OLDEST_SECONDS",
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
    inside = select(MEMBERS.c.user_id).select_from(MEMBERS.join(USERS, joined & mine)).subquery()
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
        (select(USERS.c.id).join(inside, USERS.c.id == inside.c.user_id), ["users"]),
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


def statements_of(service: str) -> dict[str, Statement]:
    """Every statement of a service, as `module.NAME` or, for those that an object holds, as
    `module.NAME:statement`.
    """
    found: dict[str, Statement] = {}
    package = importlib.import_module(service)
    for module in pkgutil.walk_packages(package.__path__, f"{service}."):
        if module.name.endswith("__main__") or ".migrations" in module.name:
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            for suffix, statement in _statements(value):
                found[f"{module.name}.{name}{suffix}"] = statement
    return found


def _statements(value: Any) -> Iterator[tuple[str, Statement]]:
    if isinstance(value, Statement):
        yield "", value
    elif isinstance(value, list | tuple):
        yield from ((f":{n}", each) for n, each in enumerate(value) if isinstance(each, Statement))
    elif isinstance(value, dict):
        yield from ((f":{n}", each) for n, each in value.items() if isinstance(each, Statement))
    elif isinstance(value, Crud | KeyRotation | TenantErasure):
        for name, each in vars(value).items():
            yield from ((f":{name}{suffix}", found) for suffix, found in _statements(each))
    elif isinstance(value, Listing):
        yield from _statements_of_listing(value)


def _statements_of_listing(value: Listing[Any]) -> Iterator[tuple[str, Statement]]:
    names = sorted(value.filters)
    sorts = {"-created_at", "created_at", *value.sorts, *(f"-{sort}" for sort in value.sorts)}
    for given in [(), *combinations(names, 1), tuple(names)]:
        yield f":count{given}", value.count(given)
        for sort in sorted(sorts):
            for as_json in {False, bool(value.shown)}:
                yield f":deep{given}{sort}{as_json}", value.deep_page(given, sort, as_json)
                for start in get_args(Start):
                    name = f":rows{given}{sort}{start}{as_json}"
                    yield name, value.rows(given, sort, start, as_json)


def untied(statement: Statement) -> list[str]:
    """The tables of the statement that are not bound to a tenant."""
    return sorted(set(_untied(statement.expression, frozenset(), set())))


def _untied(
    node: ClauseElement,
    outer: frozenset[FromClause],
    seen: set[tuple[ClauseElement, frozenset[FromClause]]],
) -> Iterator[str]:
    if (node, outer) in seen:  # a CTE that several read
        return
    seen.add((node, outer))
    if isinstance(node, Insert):
        yield from _insert(node)
    tied = outer
    if isinstance(node, Select | Update | Delete):
        froms = _froms(node)
        mine = set(_tables(froms)) - outer
        tied = outer | _tied(_conditions(node, froms), outer)
        yield from (getattr(each, "name", "?") for each in mine - tied)
    for inner in _inner(node):
        yield from _untied(inner, frozenset() if isinstance(inner, CTE) else tied, seen)


def _insert(node: Insert) -> Iterator[str]:
    if "tenant_id" not in node.table.c:
        return
    names = [getattr(each, "name", each) for each in node._values or ()]
    if "tenant_id" not in [*names, *(node._select_names or ())]:
        yield node.table.name


def _froms(node: Scope) -> list[FromClause]:
    """What the scope reads or changes. A SELECT is compiled for that: it is asked once."""
    return list(node.get_final_froms()) if isinstance(node, Select) else [node.table]


def _tables(froms: Iterable[FromClause]) -> Iterator[FromClause]:
    """The tables, and aliases of tables, of a scope."""
    for each in froms:
        yield from (part for part in _flat(each) if _key(part))


def _flat(each: FromClause) -> Iterator[FromClause]:
    if isinstance(each, Join):
        yield from _flat(each.left)
        yield from _flat(each.right)
    else:
        yield each


def _joins(each: FromClause) -> Iterator[Join]:
    if isinstance(each, Join):
        yield each
        yield from _joins(each.left)
        yield from _joins(each.right)


def _key(each: Any) -> str | None:
    """The name of the column that says whose a row is."""
    table = each.element if isinstance(each, Alias) else each
    if not isinstance(table, Table):
        return None
    return "id" if table.name == "tenants" else "tenant_id" if "tenant_id" in table.c else None


def _tied(
    conditions: Iterable[BinaryExpression[Any]], outer: frozenset[FromClause]
) -> frozenset[FromClause]:
    """Those of a scope's tables whose tenant_id equals a parameter, to whatever depth."""
    pairs = [pair for each in conditions for pair in _tenant_pairs(each)]
    tied = set(outer)
    while True:
        more = {one for one, other in pairs if one not in tied and (other is None or other in tied)}
        if not more:
            return frozenset(tied)
        tied |= more


def _tenant_pairs(each: BinaryExpression[Any]) -> Iterator[tuple[FromClause, FromClause | None]]:
    """A table and what ties it: another table, or None for a value that a caller gives."""
    sides = [
        list(side.clauses) if isinstance(side, Tuple) else [side]
        for side in (each.left, each.right)
    ]
    pairs = list(zip(*sides, strict=False))
    for one, other in [*pairs, *(pair[::-1] for pair in pairs)]:
        table, source = getattr(one, "table", None), getattr(other, "table", None)
        if _key(table) is None or one.name != _key(table):
            continue
        if isinstance(other, BindParameter | CollectionAggregate | FunctionElement):
            yield table, None
        elif _key(source) is None or other.name == _key(source):
            yield table, source if _key(source) else None


def _conditions(node: Scope, froms: Iterable[FromClause]) -> Iterator[BinaryExpression[Any]]:
    """The equalities that hold for every row: the ANDed parts of WHERE and ON."""
    clauses: list[ColumnElement[Any]] = list(node._where_criteria)
    clauses += [join.onclause for each in froms for join in _joins(each)]
    while clauses:
        clause = clauses.pop()
        if getattr(clause, "operator", None) is operators.and_:
            clauses += clause.get_children()
        elif isinstance(clause, BinaryExpression) and clause.operator is operators.eq:
            yield clause
        elif type(clause).__name__ == "Grouping":
            clauses.append(clause.element)


def _inner(node: ClauseElement) -> Iterable[ClauseElement]:
    """The next scopes below a node."""
    todo: list[Any] = list(node.get_children())
    todo += getattr(node, "_independent_ctes", ())
    if isinstance(node, Insert) and node.select is not None:
        todo.append(node.select)
    while todo:
        each = todo.pop()
        if isinstance(each, Select | Insert | Update | Delete | CTE):
            yield each
        elif isinstance(each, Table):
            continue
        elif isinstance(each, ClauseElement | Exists):
            todo += each.get_children()
