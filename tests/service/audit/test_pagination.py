"""Totals and pages against a count by hand, over a log whose events arrive out of order."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from audit import pagination
from audit.filters import parse_filters
from audit.tables import STEP
from contracts import audit as calls
from contracts.ids import new_id
from outbox.inbox import ReceivedEvent
from support.owner import Owner, heard

START = datetime(2026, 2, 26, tzinfo=UTC)
ACTIONS = ("user.created", "user.updated", "user.deleted", "member.added", "project.created")


class Log:
    """Random events, and what a filter should find among them."""

    def __init__(self, tenant: str, seed: int, size: int) -> None:
        self.random = random.Random(seed)
        self.tenant = tenant
        self.actors = [("user", new_id("usr")), ("api_key", new_id("key")), ("system", None)]
        self.resources = [new_id("res") for _ in range(5)]
        self.requests = ["req_a", "req_b"]
        self.events = [self._event(number, size) for number in range(size)]

    def _event(self, number: int, size: int) -> ReceivedEvent:
        """In the course of eight days over two months; each third event is more or less late."""
        time = START + timedelta(days=8) * number / size
        if self.random.random() < 0.3:
            time -= timedelta(seconds=8 ** self.random.uniform(-6, 6))
        if self.random.random() < 0.3:
            time = time.replace(minute=0, second=0, microsecond=0)
        return heard(
            self.tenant,
            self.random.choice(ACTIONS),
            self.random.choice(self.resources),
            time=time,
            actor=self.random.choice(self.actors),
            request_id=self.random.choice(self.requests),
        )

    def query(self) -> dict[str, str]:
        """A random combination of filters, mostly of one or two."""
        moments = [datetime.fromisoformat(each.event["time"]) for each in self.events]
        actor = self.random.choice(self.actors[:2])
        options = {
            "action": self.random.choice((*ACTIONS, "user.*", "webhook.*")),
            "resource_type": self.random.choice(("user", "member", "webhook")),
            "actor_type": self.random.choice(("user", "api_key", "system")),
            "actor_id": actor[1],
            "resource_id": self.random.choice(self.resources),
            "request_id": self.random.choice(self.requests),
        }
        names = self.random.sample(sorted(options), self.random.choice((0, 1, 1, 1, 2)))
        query: dict[str, Any] = {name: options[name] for name in names}
        for name in ("start_date", "end_date"):
            if self.random.random() < 0.6:
                moment = self.random.choice(moments)
                moment += timedelta(microseconds=self.random.choice((-1, 0, 1)))
                exact = moment.isoformat().replace("+00:00", "Z")
                query[name] = self.random.choice((exact, exact[:10]))
        return query

    def matching(self, query: dict[str, str]) -> list[int]:
        """The sequences that pass, newest first."""
        return [
            number
            for number in range(len(self.events), 0, -1)
            if _passes(self.events[number - 1].event, query)
        ]


def _passes(event: dict[str, Any], query: dict[str, str]) -> bool:
    family = event["type"].split(".")[0]
    time = datetime.fromisoformat(event["time"])
    since, until = query.get("start_date", "0001-01-02"), query.get("end_date", "9998-01-01")
    first = datetime.fromisoformat(since).replace(tzinfo=UTC)
    last = datetime.fromisoformat(until).replace(tzinfo=UTC)
    if len(until) == 10:
        last += timedelta(days=1) - timedelta(microseconds=1)
    return (
        query.get("action", event["type"]) in (event["type"], f"{family}.*")
        and query.get("resource_type", family) == family
        and query.get("actor_type", event["actortype"]) == event["actortype"]
        and query.get("actor_id", event["actorid"]) == event["actorid"]
        and query.get("resource_id", event["subject"]) == event["subject"]
        and query.get("request_id", event["requestid"]) == event["requestid"]
        and first <= time <= last
    )


@pytest.mark.parametrize("seed", range(4))
async def test_totals_and_pages_equal_a_count_by_hand(
    audit: Owner, tenant: str, receive: Any, seed: int
) -> None:
    log = Log(tenant, seed, 700)
    for start in range(0, len(log.events), 97):
        await receive(*log.events[start : start + 97])
    for _ in range(120):
        query = log.query()
        matching = log.matching(query)
        limit = log.random.choice((1, 3, 10, 50))
        page = log.random.randint(1, len(matching) // limit + 2)
        part = {**query, "limit": limit, "page": page}
        found = (await audit.call(calls.LIST_EVENTS, tenant, query=part)).body
        assert found["pagination"]["total"] == len(matching), part
        assert found["pagination"]["total_exact"] is True
        wanted = matching[(page - 1) * limit :][:limit]
        assert [each["sequence"] for each in found["events"]] == wanted, part
        follows = (page - 1) * limit + limit < len(matching) and bool(wanted)
        assert (found["pagination"]["next_cursor"] is not None) == follows, part


async def test_a_far_page_skips_no_more_than_a_few(audit: Owner, tenant: str, receive: Any) -> None:
    log = Log(tenant, 7, 600)
    await receive(*log.events)
    query = {"action": "user.*"}
    matching = log.matching(query)
    given = calls.AuditQuery.model_validate(query)
    filters = parse_filters(given)
    assert filters is not None
    async with audit.pool.acquire() as conn:
        found = await pagination.get_range(conn, tenant, filters)
        for offset in range(len(matching)):
            start = await pagination.get_page_start(conn, tenant, filters, found, offset)
            assert start.skip < 2 * STEP
            below = [sequence for sequence in matching if sequence <= start.top]
            assert below[start.skip] == matching[offset]


async def test_a_combination_is_counted_to_a_thousand_and_no_further(
    audit: Owner, tenant: str, receive: Any
) -> None:
    actor = ("api_key", new_id("key"))
    for _ in range(3):
        await receive(*(heard(tenant, "user.created", "usr_1", actor=actor) for _ in range(335)))
    for query, total, exact in (
        ({"action": "user.created"}, 1_005, True),
        ({"action": "user.created", "actor_id": actor[1]}, 1_000, False),
        ({"action": "user.created", "resource_type": "user"}, 1_005, True),
    ):
        page = (await audit.call(calls.LIST_EVENTS, tenant, query=query)).body["pagination"]
        assert (page["total"], page["total_exact"]) == (total, exact)
    last = {"action": "user.created", "actor_id": actor[1], "page": 21}
    page = (await audit.call(calls.LIST_EVENTS, tenant, query=last)).body
    assert [each["sequence"] for each in page["events"]] == [5, 4, 3, 2, 1]
