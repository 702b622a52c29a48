"""The end of an example: all that there is, read again, and all that was told of it."""

from collections import Counter
from itertools import groupby
from typing import Any

from support.api import Answer
from support.model.dialogue import AGENT, check_same
from support.model.words import Event, moment
from support.model.world import OPERATOR, Tenant
from support.moves.lists import ListMoves
from support.moves.tenants import TenantMoves
from support.waiting import until

STAYS = {"status", "role", "permissions", "email_verified"}
"""Of what changed in a user: all else is personal, and erased with the person."""
REFUSED = "api_key.refused"


class Telling(TenantMoves, ListMoves):
    """All the moves, and the reckoning."""

    def teardown(self) -> None:
        world = self.dialogue.world
        if not self.sound:
            return
        self.ask(OPERATOR, "GET", "/v1/admin/tenants", None, {"q": self.dialogue.name})
        for tenant in list(world.tenants.values()):
            self._resume(tenant)
            self._look_at_all(tenant)
        for tenant in list(world.tenants.values()):
            self._last_words(tenant)
        for tenant in list(world.tenants.values()):
            self._compare_events(tenant)

    def _resume(self, tenant: Tenant) -> None:
        if tenant.shown["status"] == "suspended":
            path = f"/v1/admin/tenants/{tenant.shown['id']}"
            self.ask(OPERATOR, "PATCH", path, {"status": "active"})

    def _look_at_all(self, tenant: Tenant) -> None:
        """Every list whole and in pages of two, every detail."""
        caller, root = tenant.shown["id"], "/v1/admin"
        paths = [f"{root}/{name}" for name in ("projects", "users", "organizations")]
        for organization_id in tenant.organizations:
            path = f"{root}/organizations/{organization_id}"
            self.ask(caller, "GET", path)
            paths += [f"{path}/members", f"{path}/invitations"]
        for user_id in tenant.users:
            self.ask(caller, "GET", f"{root}/users/{user_id}")
        for path in paths:
            self._walk(caller, path)

    def _walk(self, caller: str, path: str) -> None:
        self.ask(caller, "GET", path)
        query = {"limit": "2"}
        while True:
            answer = self.ask(caller, "GET", path, None, query)
            cursor = answer.body["pagination"]["next_cursor"]
            if cursor is None:
                return
            query = {"limit": "2", "cursor": cursor}

    def _last_words(self, tenant: Tenant) -> None:
        """The last change in each log of its owner: what should not be there came before it."""
        name = {"name": "Last words", "slug": "last-words"}
        for kind in ("projects", "organizations"):
            self.ask(tenant.shown["id"], "POST", f"/v1/admin/{kind}", name)

    def _compare_events(self, tenant: Tenant) -> None:
        feed = self.agreed(lambda: self._feed(tenant))
        self.agreed(lambda: compare(tenant, feed))
        self.agreed(lambda: self._compare_audit(tenant, feed))

    def _feed(self, tenant: Tenant) -> list[dict[str, Any]]:
        """All events, once there is one for every request that changed something."""
        changed = {each.request_id for each in tenant.log}

        async def complete() -> list[dict[str, Any]]:
            got = await self.dialogue.api(tenant.shown["id"])("GET", "/v1/admin/events?limit=1000")
            events: list[dict[str, Any]] = got.body["events"]
            heard = changed <= {each["request_id"] for each in events}
            told = not tenant.refused or any(each["action"] == REFUSED for each in events)
            return events if heard and told else []

        return self.dialogue.run(until(complete))

    def _compare_audit(self, tenant: Tenant, feed: list[dict[str, Any]]) -> None:
        """The same events by their filters, newest first, and proven."""
        newest = feed[::-1]
        queries = [("limit", "200", newest)]
        for name in ("action", "resource_id", "resource_type", "actor_type", "actor_id"):
            ((most, _),) = Counter(each[name] for each in feed if each[name]).most_common(1)
            queries.append((name, most, [each for each in newest if each[name] == most]))
        for kind in sorted({each["resource_type"] for each in feed}):
            of_kind = [each for each in newest if each["resource_type"] == kind]
            queries.append(("action", f"{kind}.*", of_kind))
        for name, value, expected in queries:
            got = self._get(tenant, f"/v1/admin/audit?{name}={value}").body
            check_same(expected[: got["pagination"]["limit"]], got["events"], value)
            assert got["pagination"]["total"] == len(expected), value
        proof = self._get(tenant, "/v1/admin/audit/proof").body
        assert (proof["valid"], proof["length"]) == (True, len(feed)), proof

    def _get(self, tenant: Tenant, path: str) -> Answer:
        return self.dialogue.run(self.dialogue.api(tenant.shown["id"])("GET", path))


def compare(tenant: Tenant, feed: list[dict[str, Any]]) -> None:
    """One event for each change, and no other; those of one resource in the order of changes."""
    assert [each["sequence"] for each in feed] == list(range(1, len(feed) + 1))
    assert len({each["id"] for each in feed}) == len(feed)
    refused = [each for each in feed if each["action"] == REFUSED]
    assert len(refused) <= 1 if tenant.refused else not refused, refused
    gone = tenant.people_gone()
    expected = _by_resource([shown(each, gone) for each in tenant.log])
    check_same(expected, _by_resource([_seen(each) for each in feed if each not in refused]), "log")


def _by_resource(events: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """In order; but those of one request, which are of one moment, in any."""
    found: dict[str, list[dict[str, Any]]] = {}
    for _, together in groupby(events, key=lambda event: event["request_id"]):
        for each in sorted(together, key=lambda event: event["action"]):
            found.setdefault(f"{each['resource_type']} {each['resource_id']}", []).append(each)
    return found


def shown(event: Event, gone: set[str]) -> dict[str, Any]:
    """The event as the feed has it, erased if one of its people is gone."""
    erased = not gone.isdisjoint(event.people)
    changes = event.changes
    if erased:
        changes = {name: change for name, change in changes.items() if name in STAYS}
    return {
        "action": event.action,
        "resource_type": event.action.split(".")[0],
        "resource_id": event.resource_id,
        "actor_type": event.actor[0],
        "actor_id": event.actor[1],
        "request_id": event.request_id,
        "changes": changes,
        "ip_address": None if erased else "127.0.0.1",
        "user_agent": None if erased else AGENT,
    }


def _seen(event: dict[str, Any]) -> dict[str, Any]:
    """What the model can know of an event of the feed."""
    moment(event["created_at"])
    return {
        name: value for name, value in event.items() if name not in ("id", "sequence", "created_at")
    }
