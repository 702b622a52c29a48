"""The events of a tenant, as the model has them: in the feed, in the audit log and in its proof."""

from collections import Counter, defaultdict
from typing import Any

from stateful.client import Client, check_same, wait_for
from stateful.model import Request, Row
from stateful.values import moment

KEPT = {"status", "role", "permissions", "email_verified"}
"""The changes that outlive a user: all others are personal, and erased with the person."""
REFUSED = "api_key.refused"
UNKNOWN = {"id", "sequence", "created_at"}  # to the model


def check_events(client: Client, tenant: str) -> None:
    """One event for each change, and no other; those of one resource in the order of changes."""

    def get(path: str, **query: str) -> Any:
        return client.fetch(Request(tenant, "GET", f"/v1/admin/{path}", query=query)).json()

    def complete_feed() -> list[Row]:
        """Once there is an event for each request that changed something."""
        feed: list[Row] = get("events", limit="1000")["events"]
        refused = any(event["action"] == REFUSED for event in feed)
        missing = changed - {event["request_id"] for event in feed}
        return [] if missing or account.was_refused > refused else feed

    account = client.model.accounts[tenant]
    changed = {event["request_id"] for event in account.events}
    feed = wait_for(complete_feed)
    assert [event["sequence"] for event in feed] == list(range(1, len(feed) + 1))
    assert len({event["id"] for event in feed}) == len(feed)
    refused = [event for event in feed if event["action"] == REFUSED]
    assert len(refused) <= account.was_refused, refused
    assert all(moment(event["created_at"]) for event in feed)
    known = [{name: event[name] for name in event.keys() - UNKNOWN} for event in feed]
    known = [event for event in known if event["action"] != REFUSED]
    expected = by_resource(without_personal_data(account.events))
    check_same(expected, by_resource(known), "events")
    for name, value, found in audit_queries(feed[::-1]):
        page = get("audit", **{name: value})
        check_same(found[: page["pagination"]["limit"]], page["events"], value)
        assert page["pagination"]["total"] == len(found), value
    proof = get("audit/proof")
    assert (proof["valid"], proof["length"]) == (True, len(feed)), proof


def without_personal_data(events: list[Row]) -> list[Row]:
    """Changes are erased from the events about a deleted user, and where somebody was from those
    by a deleted user: who did it to the user stays.
    """
    deleted = {event["resource_id"] for event in events if event["action"] == "user.deleted"}
    erased = []
    for event in events:
        kept = {name: change for name, change in event["changes"].items() if name in KEPT}
        about = {"changes": kept} if event["resource_id"] in deleted else {}
        by = {"ip_address": None, "user_agent": None} if event["actor_id"] in deleted else {}
        erased.append(event | about | by)
    return erased


def by_resource(events: list[Row]) -> dict[tuple[str, str], list[Row]]:
    found = defaultdict(list)
    for event in events:
        found[event["resource_type"], event["resource_id"]].append(event)
    return found


def audit_queries(newest: list[Row]) -> list[tuple[str, str, list[Row]]]:
    """Filters of the audit log, and the events that each finds, newest first."""
    queries = [("limit", "200", newest)]
    for name in ("action", "resource_id", "resource_type", "actor_type", "actor_id"):
        ((most, _),) = Counter(each[name] for each in newest if each[name]).most_common(1)
        queries.append((name, most, [each for each in newest if each[name] == most]))
    for type_ in sorted({each["resource_type"] for each in newest}):
        of_type = [each for each in newest if each["resource_type"] == type_]
        queries.append(("action", f"{type_}.*", of_type))
    return queries
