"""The overview, the search and the plots: what they say, to whom, and while a service is away."""

import asyncio
import re
import signal
from typing import Any

import httpx
from console_pages.accessibility import add_axe, violations_of
from console_pages.conftest import HOSTILE, Shown, sign_in
from playwright.async_api import Browser, Page
from support.stack import Stack
from support.waiting import until


async def _figure_of(page: Page, title: str) -> dict[str, Any]:
    """What a plot says to who does not see it, and how many rectangles it has."""
    figure = page.locator("figure.plot", has=page.get_by_role("img", name=f"{title} by"))
    await figure.locator("summary").click()
    return {
        "text": await figure.locator("desc").text_content(),
        "parts": await figure.locator("rect").count(),
        "rows": await figure.locator("tbody tr").count(),
    }


async def test_the_overview_shows_counts_plots_and_failing_webhooks(
    page: Page, console: str, shown: Shown, api: httpx.AsyncClient
) -> None:
    sent = await api.post(f"/v1/admin/webhooks/{shown.ids['webhooks']}/test")
    assert sent.status_code == 202, sent.text

    async def has_failed() -> bool:
        overview = (await api.get("/v1/admin/overview")).json()
        failing = [each["id"] for each in overview["webhooks"]["failing"]]
        return shown.ids["webhooks"] in failing and sum(h["total"] for h in overview["events"]) > 60

    await until(has_failed, 20)
    await page.goto(console)
    users = (await api.get("/v1/admin/overview")).json()["users"]["total"]
    assert f"{users:,}\nUsers" in re.sub(" ?\n ?", "\n", await page.inner_text(".counts"))
    assert "Live sessions" in await page.inner_text(".counts")
    for title in ("Events", "Attempts"):
        figure = await _figure_of(page, title)
        assert figure["parts"] >= 1
        assert figure["rows"] >= 1
        assert re.match(r"[\d,]+ (events|succeeded)", figure["text"])
    failing = page.locator("section", has=page.get_by_role("heading", name="Webhooks that fail"))
    assert "http://127.0.0.1:9/in" in await failing.inner_text()
    await add_axe(page)
    assert await violations_of(page) == []


async def test_a_webhook_shows_its_success_over_a_day_a_week_and_a_month(
    page: Page, console: str, shown: Shown
) -> None:
    path = f"{console}/webhooks/{shown.ids['webhooks']}"
    for query, unit in (("", "hour"), ("?hours=168", "6 hours"), ("?hours=720", "day")):
        await page.goto(path + query)
        await page.get_by_role("img", name=f"Attempts by {unit}").wait_for()
        chosen = await page.inner_text("a.button[aria-current]")
        assert chosen == {"": "A day", "?hours=168": "A week"}.get(query, "A month")
    await page.goto(f"{path}?hours=nonsense")
    await page.get_by_role("img", name="Attempts by hour").wait_for()


async def test_the_search_goes_to_the_one_that_it_finds_and_lists_several(
    page: Page, console: str, shown: Shown, api: httpx.AsyncClient
) -> None:
    event = (await api.get("/v1/admin/audit?limit=1")).json()["events"][0]["id"]
    for q, path in (
        (shown.ids["users"], f"/users/{shown.ids['users']}"),
        ("user7@example.com", "/users/"),
        (shown.ids["webhooks"], f"/webhooks/{shown.ids['webhooks']}"),
        (shown.ids["api_keys"], f"/projects/{shown.ids['projects']}/api-keys"),
        (shown.ids["invitations"], f"/organizations/{shown.ids['organizations']}/invitations"),
        (event, f"/audit/{event}"),
    ):
        await page.goto(console)
        await page.fill("#search", q)
        await page.keyboard.press("Enter")
        await page.wait_for_url(re.compile(re.escape(console + path)))
    await page.goto(f"{console}/search?q=script")
    assert HOSTILE in await page.inner_text("main")
    assert await page.locator("main li").count() > 10  # users, the organization, the project
    await page.goto(f"{console}/search?q={'x' * 300}")
    assert "must have" in await page.inner_text("main")


async def test_the_operator_sees_and_finds_tenants(
    browser: Browser, stack: Stack, console: str
) -> None:
    context = await browser.new_context()
    page = await sign_in(context, console, stack.ready["operator_key"])
    counts = await page.inner_text(".counts")
    assert "Tenants" in counts
    assert "Suspended tenants" in counts
    assert "Users" not in counts
    assert await page.locator("figure.plot").count() == 0
    await page.goto(f"{console}/search?q=demo")
    await page.wait_for_url(re.compile(f"{re.escape(console)}/tenants/ten_"))
    await context.close()


async def test_a_narrow_key_sees_its_own_parts_alone(
    browser: Browser, console: str, shown: Shown, api: httpx.AsyncClient
) -> None:
    body = {"name": "narrow", "scopes": ["organizations:read"]}
    path = f"/v1/admin/projects/{shown.ids['projects']}/api-keys"
    key = (await api.post(path, json=body)).json()["secret"]
    context = await browser.new_context()
    page = await sign_in(context, console, key)
    assert await page.locator(".counts li").count() == 1
    assert await page.locator("figure.plot").count() == 0
    await page.goto(f"{console}/search?q={shown.ids['users']}")
    assert "Nothing was found" in await page.inner_text("main")
    await context.close()


async def test_a_service_that_is_away_is_named_with_its_run_book(
    page: Page, console: str, stack: Stack
) -> None:
    stack.hang("webhooks", signal.SIGSTOP)
    try:

        async def is_named() -> bool:
            """The report of health may be a second old."""
            async with asyncio.timeout(6):
                await page.goto(console)
            text = await page.inner_text("main")
            assert "webhooks did not answer" in text
            assert "Users" in text
            return "docs/runbooks/process-down.md" in text

        await until(is_named, 20)
        assert await page.inner_text("h2 .badge") == "down"
    finally:
        stack.hang("webhooks", signal.SIGCONT)
