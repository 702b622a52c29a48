"""The events of the last hours: as many as a list of each hour has, in whatever order they came."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts import audit as calls
from contracts.ids import new_id
from contracts.overview import GET_EVENTS_OVERVIEW, HOURS
from support.owner import Owner, heard

HOUR = timedelta(hours=1)


def _random_times(seed: int, count: int) -> list[datetime]:
    """Of the last thirty hours, in the course of which each third is more or less late."""
    rng, now = random.Random(seed), datetime.now(UTC)
    times = []
    for number in range(count):
        time = now - timedelta(hours=30) * (count - number) / count
        if rng.random() < 0.3:
            time -= timedelta(seconds=8 ** rng.uniform(-6, 4))
        if rng.random() < 0.2:
            time = time.replace(minute=0, second=0, microsecond=0)
        times.append(time)
    return times


async def _hours(audit: Owner, tenant: str) -> list[dict[str, Any]]:
    found = await audit.call(GET_EVENTS_OVERVIEW, tenant)
    assert found.status == 200, found.body
    GET_EVENTS_OVERVIEW.result.model_validate_json(found.reply.body)  # type: ignore[union-attr]
    assert len(found.body["events"]) == HOURS
    return list(found.body["events"])


async def test_each_hour_has_as_many_events_as_the_list_of_that_hour(
    audit: Owner, tenant: str, receive: Any
) -> None:
    times = _random_times(3, 600)
    events = [heard(tenant, "user.created", new_id("usr"), time=time) for time in times]
    for start in range(0, len(events), 97):
        await receive(*events[start : start + 97])
    for hour in await _hours(audit, tenant):
        start = datetime.fromisoformat(hour["start"])
        assert hour["total"] == sum(start <= time < start + HOUR for time in times)
        last = (start + HOUR - timedelta(microseconds=1)).isoformat().replace("+00:00", "Z")
        query = {"start_date": hour["start"], "end_date": last, "limit": 1}
        listed = await audit.call(calls.LIST_EVENTS, tenant, query=query)
        assert hour["total"] == listed.body["pagination"]["total"]


async def test_a_tenant_without_events_has_hours_of_none(audit: Owner, tenant: str) -> None:
    assert {hour["total"] for hour in await _hours(audit, tenant)} == {0}
