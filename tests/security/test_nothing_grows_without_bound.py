"""What would need unbounded memory or places is refused, and the product goes on."""

import asyncio
from contextlib import AsyncExitStack

from security.sample_tenant import made
from support.api import Api
from support.figures import FIGURES
from support.waiting import until

FEEDS_OF_A_TENANT = 32
LONG = "https://app.example.com/" + "x" * 2000


async def test_a_page_that_is_too_large_for_one_answer_is_refused_and_a_smaller_one_given(
    api: Api,
) -> None:
    """Forty projects of 200 KiB each are more than a message of NATS holds."""
    for number in range(42):
        redirects = [f"{LONG}{number}/{each}" for each in range(100)]
        body = {"name": f"P {number}", "allowed_redirects": redirects}
        await made(api, "/v1/admin/projects", body)
    page = await api("GET", "/v1/admin/projects?limit=200")
    assert (page.status, page.body["code"]) == (422, "validation_failed"), page.raw[:300]
    assert [error["field"] for error in page.body["errors"]] == ["limit"]
    page = await api("GET", "/v1/admin/projects?limit=20")
    assert page.status == 200
    assert len(page.body["projects"]) == 20
    assert page.body["pagination"]["total"] == 42
    FIGURES["hostile inputs"] += 43


async def test_a_tenant_has_so_many_open_feeds_and_no_more(api: Api) -> None:
    path = api.url + "/v1/admin/events"
    headers = {"Authorization": f"Bearer {api.key}", "Accept": "text/event-stream"}
    async with AsyncExitStack() as held:
        for _ in range(FEEDS_OF_A_TENANT):
            feed = await held.enter_async_context(api.http.get(path, headers=headers))
            assert feed.status == 200
        async with api.http.get(path, headers=headers) as refused:
            assert refused.status == 429
            assert (await refused.json())["code"] == "rate_limited"
        assert (await api("GET", "/v1/admin/events")).status == 200

    async def free() -> bool:
        async with api.http.get(path, headers=headers) as again:
            return again.status == 200

    await until(free)


async def test_a_head_of_the_feed_does_not_stay_open(api: Api) -> None:
    async with asyncio.timeout(5):
        headers = {"Authorization": f"Bearer {api.key}", "Accept": "text/event-stream"}
        async with api.http.head(api.url + "/v1/admin/events", headers=headers) as answer:
            assert answer.status == 200
            assert await answer.read() == b""


async def test_however_many_ask_how_it_is_there_is_one_look_at_a_time(api: Api) -> None:
    answers = await asyncio.gather(*(api("GET", "/health") for _ in range(200)))
    assert {answer.status for answer in answers} == {200}
    latencies = {answer.body["checks"]["nats"]["latency_ms"] for answer in answers}
    assert len({answer.raw for answer in answers}) < 100, latencies
