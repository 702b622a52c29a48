"""Every page, in a browser: reached by its links, accessible, on any screen, and never markup of
what a tenant has written.
"""

import re
from typing import Literal

import httpx
from console_pages.accessibility import add_axe, violations_of
from console_pages.conftest import HOSTILE, LARGEST, PARTS, Shown, sign_in
from playwright.async_api import Browser, Page
from support.stack import Stack
from support.waiting import until

Screen = tuple[Literal["light", "dark"], int]
SCREENS: tuple[tuple[Screen, ...], ...] = (
    (("light", 1280), ("dark", 360)),
    (("dark", 1280), ("light", 360)),
)
"""The screens on which a page is looked at; the next page gets the other two."""
FILES = ("/audit/export", "/audit/checkpoint")
LARGEST_WIDTH = 2560
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
    "/users?status=nonsense&created_after=never&q=user1",
    "/no-such-page",
)


def kind_of(path: str) -> str:
    """The same for every resource of a kind, and for every event type."""
    return re.sub(r"/event-types/.+", "/event-types/one", ID.sub("id", path.partition("?")[0]))


async def check(page: Page, screens: tuple[Screen, ...]) -> None:
    """The page that is open has no violation, and is not wider than the screen."""
    await add_axe(page)
    for scheme, width in screens:
        await page.emulate_media(color_scheme=scheme)
        await resize(page, width)
        violations = await violations_of(page)
        assert violations == [], (page.url, scheme, width, violations)
    await resize(page, LARGEST_WIDTH)


async def resize(page: Page, width: int) -> None:
    await page.set_viewport_size({"width": width, "height": 800})
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not await page.evaluate(wide), f"{page.url} is wider than {width} pixels"


async def crawl(page: Page, console: str, start: tuple[str, ...]) -> set[str]:
    """Opens one page of each kind that links lead to, and checks it; answers the kinds."""
    seen: set[str] = set()
    waiting = list(start)
    alerts: list[str] = []
    page.on("dialog", lambda dialog: alerts.append(dialog.message))
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    while waiting:
        path = waiting.pop(0)
        kind = path if "?" in path else kind_of(path)
        if kind in seen or path.startswith(FILES):
            continue
        seen.add(kind)
        response = await page.goto(f"{console}{path}")
        assert response is not None
        assert response.status == (404 if path == "/no-such-page" else 200), path
        assert len(await response.body()) <= LARGEST, path
        await check(page, SCREENS[len(seen) % 2])
        links = "links => links.map(link => link.getAttribute('href'))"
        waiting += await page.eval_on_selector_all("a[href^='/']", links)
    assert (alerts, failures) == ([], [])
    return seen


async def test_every_page_is_accessible_and_fits_every_screen(
    page: Page, console: str, shown: Shown
) -> None:
    own = [f"/{kind}/{shown.ids[kind]}" for kind in PARTS]  # with parts, unlike what others made
    seen = await crawl(page, console, (*own, *START))
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
    context = await browser.new_context()
    page = await sign_in(context, console, stack.ready["operator_key"])
    seen = await crawl(page, console, ("/tenants?status=active", "/", "/tenants"))
    assert {"/tenants/new", "/tenants/id", "/tenants/id/suspend", "/tenants/id/delete"} <= seen
    assert not [kind for kind in seen if kind.startswith(("/users", "/audit"))]
    await page.goto(f"{console}/tenants?q=demo")
    await page.click("main th a")
    await page.click("main button:text-is('Open')")
    for number, path in enumerate(("/", "/users", "/users/new")):
        await page.goto(f"{console}{path}")
        assert await page.query_selector(".viewing") is not None
        await check(page, SCREENS[number % 2])
    await context.close()


async def test_a_narrow_key_finds_no_link_that_leads_nowhere(
    browser: Browser, console: str, api: httpx.AsyncClient, shown: Shown
) -> None:
    path = f"/v1/admin/projects/{shown.ids['projects']}/api-keys"
    body = {"name": "Narrow", "scopes": ["organizations:read", "audit:read"]}
    key = (await api.post(path, json=body)).json()
    context = await browser.new_context()
    page = await sign_in(context, console, key["secret"])
    own = f"/organizations/{shown.ids['organizations']}"
    seen = await crawl(page, console, (own, "/", "/audit"))
    assert {"/organizations/id/members", "/audit/id"} <= seen
    assert not [kind for kind in seen if kind.endswith(("/new", "/edit", "/delete"))]
    await context.close()


async def test_what_a_tenant_writes_is_shown_as_text(
    page: Page, console: str, shown: Shown
) -> None:
    await page.goto(f"{console}/users/{shown.ids['users']}")
    assert HOSTILE in await page.inner_text("main")
    assert await page.query_selector_all("main script, main img") == []


async def test_an_event_shows_what_was_and_what_is(
    page: Page, console: str, api: httpx.AsyncClient
) -> None:
    body = {"email": "was@example.com", "name": "Was Before", "metadata": {"seats": 1}}
    user = (await api.post("/v1/admin/users", json=body)).json()["id"]
    patch = {"name": "Is After", "metadata": {"seats": 2}}
    await api.patch(f"/v1/admin/users/{user}", json=patch)
    query = {"resource_id": user, "action": "user.updated"}

    async def events() -> list[dict[str, str]]:
        return list((await api.get("/v1/admin/audit", params=query)).json()["events"])

    await until(events)
    await page.goto(f"{console}/audit/{(await events())[0]['id']}")
    rows = await page.eval_on_selector_all(
        "main tbody tr", "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
    )
    assert ["Name", "Was Before", "Is After"] in rows
    await check(page, SCREENS[0])


async def test_the_signed_checkpoint_is_shown_and_downloaded(
    http: httpx.AsyncClient, api: httpx.AsyncClient
) -> None:
    await api.post("/v1/admin/users", json={"email": "checked@example.com"})

    async def is_signed() -> bool:
        return (await api.get("/v1/admin/audit/checkpoint")).status_code == 200

    await until(is_signed, 30)
    page = await http.get("/audit/proof")
    file = await http.get("/audit/checkpoint")
    assert "attachment" in file.headers["content-disposition"]
    assert file.text.partition("\n")[0] in page.text


async def test_pages_work_without_javascript(
    browser: Browser, stack: Stack, console: str, shown: Shown
) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await sign_in(context, console, stack.ready["api_key"], "/users")
    assert await page.inner_text("h1") == "Users"
    await page.click("a[rel=next]")
    assert await page.inner_text(".pager a") == "First page"
    await page.goto(f"{console}/users/new")
    await page.fill("[name=email]", "user0@example.com")
    await page.click("button.main")
    assert await page.query_selector("#field-email-error") is not None
    assert await page.evaluate("document.activeElement.name") == "email"
    await page.fill("[name=email]", "plain@example.com")
    await page.click("button.main")
    await page.click("text=Delete")
    await page.click("button.bad")
    assert await page.inner_text(".notice") == "It is gone."
    await context.close()


async def test_keys_lead_to_the_search_and_to_pages_and_close_what_is_open(
    page: Page, console: str, shown: Shown
) -> None:
    focused = "document.activeElement.id || document.activeElement.textContent"
    await page.goto(f"{console}/users/{shown.ids['users']}")
    await page.focus("summary")
    await page.keyboard.press("/")
    assert await page.evaluate(focused) == "search"
    await page.keyboard.press("Escape")
    assert await page.evaluate("document.activeElement.tagName") == "SUMMARY"
    await page.keyboard.press("Enter")
    await page.focus("details[open] pre")
    await page.keyboard.press("Escape")
    assert await page.query_selector("details[open]") is None
    assert await page.evaluate("document.activeElement.tagName") == "SUMMARY"
    await page.click("main >> text=Delete")
    await page.wait_for_url("**/delete")  # loaded, or nothing listens to keys
    await page.keyboard.press("Escape")
    await page.wait_for_url(f"{console}/users/{shown.ids['users']}")
    assert await page.evaluate(focused) == "Delete"
    await page.keyboard.press("g")
    await page.keyboard.press("u")
    await page.wait_for_url(f"{console}/users")


async def test_the_back_button_leads_back_and_does_nothing_twice(
    page: Page, console: str, api: httpx.AsyncClient
) -> None:
    await page.goto(f"{console}/users/new")
    await page.fill("[name=email]", "back@example.com")
    await page.click("button.main")
    await page.wait_for_url("**/users/usr_*")
    await page.reload()
    await page.go_back()
    assert page.url == f"{console}/users/new"
    await page.fill("[name=email]", "back2@example.com")
    await page.click("button.main")
    await page.wait_for_url("**/users/usr_*")
    found = await api.get("/v1/admin/users", params={"q": "back"})
    assert {each["email"] for each in found.json()["users"]} == {
        "back@example.com", "back2@example.com",
    }  # fmt: skip
