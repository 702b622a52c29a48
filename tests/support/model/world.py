"""Everything there is, and the front door: who asks, what for, and whether it was asked before."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from support.api import Answer
from support.model.lists import Cursors
from support.model.words import Again, Ask, Event, Refused, Said

Row = dict[str, Any]


@dataclass
class Tenant:
    """A tenant, what it owns in the order of creation, and what has been told of it."""

    shown: Row
    key_id: str
    cursors: Cursors
    projects: dict[str, Row] = field(default_factory=dict)
    users: dict[str, Row] = field(default_factory=dict)
    organizations: dict[str, Row] = field(default_factory=dict)
    members: dict[tuple[str, str], Row] = field(default_factory=dict)
    invitations: dict[tuple[str, str], Row] = field(default_factory=dict)
    tokens: dict[str, tuple[str, str]] = field(default_factory=dict)
    log: list[Event] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    answers: dict[str, tuple[Any, Answer]] = field(default_factory=dict)
    refused: bool = False

    def of(self, organization_id: str) -> list[Row]:
        """The memberships of an organization, the oldest first."""
        return [row for (each, _), row in self.members.items() if each == organization_id]

    def invited(self, organization_id: str) -> list[Row]:
        return [row for (each, _), row in self.invitations.items() if each == organization_id]

    def people_gone(self) -> set[str]:
        return {each for each in self.gone if each.startswith("usr_")}


@dataclass
class World:
    """`tenants` and their `secrets` by identifiers; `answers` are the operator's."""

    tenants: dict[str, Tenant] = field(default_factory=dict)
    cursors: Cursors = field(default_factory=Cursors)
    answers: dict[str, tuple[Any, Answer]] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Any, Ask], Said]
OPERATOR = "operator"


@dataclass(frozen=True)
class Route:
    """A row of the contract's tables. `whose` says what the handler is given: the tenant of the
    credential, or the whole world.
    """

    method: str
    path: str
    handler: Handler
    whose: str = "tenant"

    def ids(self, method: str, path: str) -> tuple[str, ...] | None:
        """The identifiers of a path that is this row's."""
        pattern = re.sub(r"\{\w+\}", "([^/]+)", self.path)
        found = re.fullmatch(pattern, path) if method == self.method else None
        return None if found is None else found.groups()


def answer(world: World, routes: list[Route], caller: str | None, ask: Ask) -> Said | Again:
    """What is said to the caller: a tenant's id, the operator, or None for anyone."""
    route, ask.ids = next(
        (route, ids) for route in routes if (ids := route.ids(ask.method, ask.path)) is not None
    )
    tenant = None
    if caller == OPERATOR:
        ask.actor = ("operator", None)
        if route.whose == "tenant":
            raise Refused("insufficient_scope")
    elif caller is not None:
        tenant = _tenant(world, caller)
        ask.actor = ("api_key", tenant.key_id)
        if route.whose == OPERATOR:
            raise Refused("insufficient_scope")
    kept = world.answers if tenant is None else tenant.answers
    if ask.idempotency_key is None:
        return route.handler(tenant if route.whose == "tenant" else world, ask)
    name, request = ask.idempotency_key, (ask.method, ask.path, ask.query, ask.body)
    if name in kept:
        if kept[name][0] != request:
            raise Refused("idempotency_key_reused")
        return Again(kept[name][1])
    kept[name] = (request, ask.told.answer)
    return route.handler(tenant if route.whose == "tenant" else world, ask)


def _tenant(world: World, caller: str) -> Tenant:
    if caller not in world.tenants:
        raise Refused("unauthenticated")
    tenant = world.tenants[caller]
    if tenant.shown["status"] == "suspended":
        tenant.refused = True
        raise Refused("tenant_suspended")
    return tenant


def named(rows: dict[Any, Row], key: Any) -> Row:
    """What is absent, malformed or another tenant's is the same 404."""
    if key not in rows:
        raise Refused("not_found")
    return rows[key]
