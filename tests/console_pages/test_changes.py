"""What a person changes: once, against the version that was shown, and in that person's name."""

import asyncio
import signal

import httpx
from console_pages.conftest import Shown, sign_in
from playwright.async_api import Browser, Page
from support.stack import Stack
from support.waiting import until


def value_of(page: str, name: str) -> str:
    """That of a hidden field."""
    return page.partition(f'name="{name}" value="')[2].partition('"')[0]


async def test_a_user_from_the_form_to_the_deletion(
    page: Page, console: str, api: httpx.AsyncClient
) -> None:
    await page.goto(f"{console}/users/new")
    await page.fill("[name=email]", "ada@example.com")
    await page.fill("[name=metadata]", '{"plan": "pro"}')
    await page.click("button.main")
    assert await page.inner_text(".notice") == "It was created."
    user_id = page.url.partition("/users/")[2].partition("?")[0]
    await page.click("text=Edit")
    await page.fill("[name=name]", "Ada")
    await page.fill("[name=metadata]", '{"seats": 3}')
    await page.click("button.main")
    user = (await api.get(f"/v1/admin/users/{user_id}")).json()
    assert (user["name"], user["metadata"], user["version"]) == ("Ada", {"seats": 3}, 2)
    await page.click("text=Suspend")
    await page.click("button.main")
    assert "suspended" in await page.inner_text("main")
    await page.click("text=Delete")
    await page.click("button.bad")
    assert (await api.get(f"/v1/admin/users/{user_id}")).status_code == 404


async def test_an_error_stands_at_its_field_and_nothing_typed_is_lost(
    page: Page, console: str, shown: Shown
) -> None:
    await page.goto(f"{console}/users/new")
    await page.fill("[name=email]", "USER0@example.com")
    await page.fill("[name=name]", "Somebody else")
    await page.fill("[name=metadata]", "{not json")
    await page.click("button.main")
    assert "is not JSON" in await page.inner_text("#field-metadata-error")
    await page.fill("[name=metadata]", "{}")
    await page.click("button.main")
    assert "email" in (await page.inner_text("[role=alert]")).lower()
    assert await page.input_value("[name=name]") == "Somebody else"


async def test_a_double_click_creates_one(http: httpx.AsyncClient, api: httpx.AsyncClient) -> None:
    page = await http.get("/organizations/new")
    form = {name: value_of(page.text, name) for name in ("form_token", "idempotency_key")}
    form["name"] = "Clicked twice"
    first, second = await asyncio.gather(
        *(http.post("/organizations/new", data=form) for _ in range(2))
    )
    again = await http.post("/organizations/new", data=form)
    assert first.status_code == 303
    assert first.headers["location"] == second.headers["location"] == again.headers["location"]
    found = await api.get("/v1/admin/organizations", params={"q": "Clicked twice"})
    assert found.json()["pagination"]["total"] == 1


async def test_a_double_click_in_a_browser_does_it_once(
    page: Page, console: str, api: httpx.AsyncClient
) -> None:
    """A new one, a secret, an action and a deletion: each by a real double click."""
    await page.goto(f"{console}/projects/new")
    await page.fill("[name=name]", "Doubled")
    await page.dblclick("button.main")
    await page.wait_for_selector(".notice")
    projects = (await api.get("/v1/admin/projects", params={"q": "Doubled"})).json()["projects"]
    (project,) = [each["id"] for each in projects]
    keys = f"/v1/admin/projects/{project}/api-keys"
    await page.goto(f"{console}/projects/{project}/api-keys/new")
    await page.fill("[name=name]", "Doubled")
    await page.check("[value='users:read']")
    await page.dblclick("button.main")
    secret = await page.input_value(".secret input")
    (key,) = (await api.get(keys)).json()["api_keys"]
    assert secret.startswith(key["prefix"])
    await page.goto(f"{console}/projects/{project}/api-keys/{key['id']}/rotate")
    await page.dblclick("button.main")
    rotated = await page.input_value(".secret input")
    assert "last used none" in await page.inner_text("main dl")
    (key,) = (await api.get(keys)).json()["api_keys"]
    assert (rotated != secret, rotated.startswith(key["prefix"])) == (True, True)
    await page.goto(f"{console}/projects/{project}/delete")
    await page.dblclick("button.bad")
    await page.wait_for_selector(".notice")
    assert page.url.startswith(f"{console}/projects?")


async def test_an_action_that_comes_too_late_shows_how_it_is_now(
    page: Page, console: str, api: httpx.AsyncClient, shown: Shown
) -> None:
    path = f"/v1/admin/projects/{shown.ids['projects']}/api-keys"
    key = (await api.post(path, json={"name": "Late", "scopes": ["users:read"]})).json()["id"]
    await page.goto(f"{console}/projects/{shown.ids['projects']}/api-keys/{key}/rotate")
    await api.delete(f"{path}/{key}")
    await page.click("button.main")
    assert "revoked" in await page.inner_text("[role=alert]")
    assert "As it is now" in await page.inner_text("main")


async def test_two_people_who_edit_one_thing_learn_of_each_other(
    browser: Browser, stack: Stack, console: str, page: Page, api: httpx.AsyncClient
) -> None:
    body = {"email": "both@example.com", "name": "Before"}
    user_id = (await api.post("/v1/admin/users", json=body)).json()["id"]
    edit = f"{console}/users/{user_id}/edit"
    await page.goto(edit)
    context = await browser.new_context()
    other = await sign_in(context, console, stack.ready["api_key"], f"/users/{user_id}/edit")
    await other.fill("[name=name]", "Theirs")
    await other.click("button.main")
    await context.close()
    await page.fill("[name=username]", "mine")
    await page.click("button.main")
    assert "Somebody has changed it meanwhile" in await page.inner_text("[role=alert]")
    meanwhile = await page.inner_text(".meanwhile")
    assert "Before" in meanwhile
    assert "Theirs" in meanwhile
    await page.click("button.main")
    user = (await api.get(f"/v1/admin/users/{user_id}")).json()
    assert (user["username"], user["name"]) == ("mine", "Theirs")


async def test_a_secret_is_shown_once(page: Page, console: str, shown: Shown) -> None:
    await page.goto(f"{console}/projects/{shown.ids['projects']}/api-keys/new")
    await page.fill("[name=name]", "CI")
    await page.check("[value='users:read']")
    await page.click("button.main")
    secret = await page.input_value(".secret input")
    assert secret.startswith("tnt_")
    await page.click("text=Go on")
    assert secret not in await page.content()


async def test_a_narrow_key_is_not_offered_what_it_may_not(
    browser: Browser, console: str, api: httpx.AsyncClient, shown: Shown
) -> None:
    path = f"/v1/admin/projects/{shown.ids['projects']}/api-keys"
    key = (await api.post(path, json={"name": "Reader", "scopes": ["users:read"]})).json()
    context = await browser.new_context()
    page = await sign_in(context, console, key["secret"])
    menu = await page.inner_text("body > nav")
    assert menu.split() == ["Overview", "Users"]
    await page.goto(f"{console}/users")
    assert await page.query_selector("text=New user") is None
    response = await page.goto(f"{console}/projects")
    assert response is not None
    assert response.status == 403
    assert "projects:read" in await page.inner_text("main")
    await context.close()


async def test_the_audit_trail_names_the_address_of_the_person(
    console: str, stack: Stack, api: httpx.AsyncClient
) -> None:
    transport = httpx.AsyncHTTPTransport(local_address="127.0.0.7")
    async with httpx.AsyncClient(base_url=console, transport=transport) as client:
        await client.post("/sign-in", data={"key": stack.ready["api_key"]})
        page = await client.get("/users/new")
        form = {"email": "seven@example.com", "form_token": value_of(page.text, "form_token")}
        created = await client.post("/users/new", data=form)
        user_id = created.headers["location"].partition("/users/")[2].partition("?")[0]

    async def events() -> list[dict[str, str]]:
        found = await api.get("/v1/admin/audit", params={"resource_id": user_id})
        return list(found.json()["events"])

    await until(events)
    (event,) = await events()
    assert (event["ip_address"], event["user_agent"]) == ("127.0.0.7", "tenantry-console")


async def test_users_are_imported_and_bad_lines_come_back(
    page: Page, console: str, api: httpx.AsyncClient
) -> None:
    await page.goto(f"{console}/users/import")
    text = "email,name\none@import.example,One\nnonsense,Two\nthree@import.example\n"
    file = {"name": "users.csv", "mimeType": "text/csv", "buffer": text.encode()}
    await page.set_input_files("#file", files=[file])  # type: ignore[list-item]
    await page.click("button.main")
    await page.wait_for_selector("text=Go on")
    assert "1 created, 2 rejected" in await page.inner_text("main")
    async with page.expect_download() as waiting:
        await page.click("text=Download the rejected lines")
    saved = await (await waiting.value).path()
    lines = saved.read_text().splitlines()
    assert ['"line":3' in lines[0], '"line":4' in lines[1]] == [True, True]


async def test_a_file_is_larger_than_a_form(http: httpx.AsyncClient) -> None:
    page = await http.get("/users/import")
    form = {"form_token": value_of(page.text, "form_token")}
    lines = b"".join(b'{"email": "large%d@import.example"}\n' % number for number in range(2000))
    file = lines + b"\n" * 1_000_000
    done = await http.post("/users/import", data=form, files={"file": ("users.ndjson", file)})
    assert "2,000 created, 0 rejected" in done.text


async def test_events_are_followed_live(page: Page, console: str, api: httpx.AsyncClient) -> None:
    await page.goto(f"{console}/audit")
    await page.click("#follow")
    body = {"email": "live@example.com"}
    user_id = (await api.post("/v1/admin/users", json=body)).json()["id"]
    await page.wait_for_selector(f"#events a[href='/users/{user_id}']", timeout=10_000)


async def test_a_page_says_so_when_the_api_is_away(page: Page, console: str, stack: Stack) -> None:
    stack.hang("edge", signal.SIGSTOP)
    try:
        response = await page.goto(f"{console}/users", timeout=10_000)
        assert response is not None
        assert response.status == 503
        assert "The API does not answer" in await page.inner_text("main")
    finally:
        stack.hang("edge", signal.SIGCONT)
