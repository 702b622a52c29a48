"""Every page, in a browser: reached by its links, accessible, on any screen, and never markup of
what a tenant has written.
"""

import re

import pytest
from axe_playwright_python.async_playwright import Axe
from console_pages.conftest import HOSTILE, PARTS, Shown, sign_in
from playwright.async_api import Browser, Page
from support.stack import Stack

LARGEST = 100 * 1024
ID = re.compile(r"[a-z]{2,4}_[0-9a-z]{26}")
START = (
    "/",
    "/users",
    "/organizations",
    "/projects",
    "/webhooks",
    "/audit",
    "/event-types",
    "/search?q=user1",
    "/users?status=nonsense&created_after=never",
    "/no-such-page",
)


def kind_of(path: str) -> str:
    """The same for every resource of a kind, and for every event type."""
    return re.sub(r"/event-types/.+", "/event-types/one", ID.sub("id", path.partition("?")[0]))


async def crawl(page: Page, console: str, start: tuple[str, ...]) -> set[str]:
    """Opens one page of each kind that links lead to, and checks it; answers the kinds."""
    seen: set[str] = set()
    waiting = list(start)
    axe = Axe()
    alerts: list[str] = []
    page.on("dialog", lambda dialog: alerts.append(dialog.message))
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    while waiting:
        path = waiting.pop(0)
        kind = path if "?" in path else kind_of(path)
        if kind in seen or path.startswith(("/audit/export", "/audit/live")):
            continue
        seen.add(kind)
        response = await page.goto(f"{console}{path}")
        assert response is not None
        assert response.status == (404 if path == "/no-such-page" else 200), path
        assert len(await response.body()) <= LARGEST, path
        found = await axe.run(page)
        assert found.response["violations"] == [], (path, found.response["violations"])
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not await page.evaluate(wide), f"{path} is wider than the screen"
        for link in await page.query_selector_all("a[href^='/']"):
            waiting.append(str(await link.get_attribute("href")))
    assert (alerts, failures) == ([], [])
    return seen


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1280), ("dark", 360)], ids=["light-1280", "dark-360"]
)
async def test_every_page_is_accessible_and_fits(
    browser: Browser, stack: Stack, console: str, shown: Shown, scheme: str, width: int
) -> None:
    context = await browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = await sign_in(context, console, stack.ready["api_key"])
    own = [f"/{kind}/{shown.ids[kind]}" for kind in PARTS]  # with parts, unlike what others made
    seen = await crawl(page, console, (*own, *START))
    await context.close()
    expected = {
        "/users/new", "/users/import", "/users/id", "/users/id/edit", "/users/id/delete",
        "/users/id/suspend", "/organizations/id/members/new", "/organizations/id/invitations",
        "/organizations/id/members/id/edit", "/projects/id/api-keys/id/rotate",
        "/projects/id/signing-keys/rotate", "/webhooks/id/deliveries/id", "/webhooks/id/replay",
        "/audit/id", "/audit/proof", "/event-types/one",
    }  # fmt: skip
    assert expected <= seen, expected - seen


async def test_the_operator_sees_tenants_and_nothing_of_one(
    browser: Browser, stack: Stack, console: str
) -> None:
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    page = await sign_in(context, console, stack.ready["operator_key"])
    seen = await crawl(page, console, ("/", "/tenants"))
    await context.close()
    assert {"/tenants/new", "/tenants/id", "/tenants/id/suspend", "/tenants/id/delete"} <= seen
    assert not [kind for kind in seen if kind.startswith(("/users", "/audit"))]


async def test_what_a_tenant_writes_is_shown_as_text(
    page: Page, console: str, shown: Shown
) -> None:
    await page.goto(f"{console}/users/{shown.ids['users']}")
    assert HOSTILE in await page.inner_text("main")
    assert await page.query_selector_all("main script, main img") == []


async def test_pages_work_without_javascript(
    browser: Browser, stack: Stack, console: str, shown: Shown
) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await sign_in(context, console, stack.ready["api_key"], "/users")
    assert await page.inner_text("h1") == "Users"
    await page.click("a[rel=next]")
    assert await page.inner_text(".pager a") == "First page"
    await context.close()


async def test_keys_lead_to_the_search_and_to_pages(page: Page, console: str) -> None:
    await page.keyboard.press("/")
    assert await page.evaluate("document.activeElement.id") == "search"
    await page.keyboard.press("Escape")
    await page.keyboard.press("g")
    await page.keyboard.press("u")
    await page.wait_for_url(f"{console}/users")
