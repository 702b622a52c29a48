"""The operator in the console: a view into each tenant, and the deletion of one."""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import psutil
import pytest
from chassis.encryption import Keyring
from chassis.settings import parse_encryption_keys
from console.sign_in import Sessions
from console_pages.conftest import Shown, sign_in
from console_pages.test_refusals import hidden_of, kept_of
from playwright.async_api import Browser
from redis.asyncio import Redis
from support.stack import Stack
from support.waiting import until

TOKEN = re.compile(r'name="form_token" value="([^"]+)"')


@pytest.fixture(scope="package")
async def operator_api(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {stack.ready['operator_key']}"}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers) as client:
        yield client


@pytest.fixture
async def operator(console: str, stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """What a program sends that is signed in as the operator."""
    async with httpx.AsyncClient(base_url=console, follow_redirects=True) as client:
        await client.post("/sign-in", data={"key": stack.ready["operator_key"]})
        yield client


async def new_tenant(operator_api: httpx.AsyncClient, name: str) -> tuple[str, str]:
    """Its id, and its first key."""
    body = {"name": name, "slug": f"t-{uuid4().hex}"}
    made = (await operator_api.post("/v1/admin/tenants", json=body)).json()
    return made["tenant"]["id"], made["api_key"]["secret"]


async def post(client: httpx.AsyncClient, path: str, **fields: str) -> httpx.Response:
    page = await client.get("/event-types")
    token = TOKEN.findall(page.text)[0]
    return await client.post(path, data={"form_token": token, **fields})


async def test_the_operator_opens_a_tenant_and_leaves_it(
    browser: Browser, stack: Stack, console: str, operator_api: httpx.AsyncClient
) -> None:
    tenant, key = await new_tenant(operator_api, "Acme Rockets")
    context = await browser.new_context()
    page = await sign_in(context, console, stack.ready["operator_key"], f"/tenants/{tenant}")
    assert await page.query_selector(".viewing") is None
    await page.click("main button:text-is('Open')")
    assert "Viewing Acme Rockets as operator" in await page.inner_text(".viewing")
    menu = await page.inner_text("body > nav")
    assert ("Tenants" in menu, "Users" in menu, "Audit" in menu) == (False, True, True)
    await page.goto(f"{console}/users/new")
    await page.fill("[name=email]", "by-operator@example.com")
    await page.click("button.main")
    assert await page.query_selector(".viewing") is not None
    user = page.url.partition("/users/")[2].partition("?")[0]
    await page.click("text=Leave")
    assert page.url == f"{console}/tenants/{tenant}"
    assert await page.query_selector(".viewing") is None
    await context.close()
    own = {"Authorization": f"Bearer {key}"}

    async def actors() -> list[str]:
        found = await operator_api.get("/v1/admin/audit", params={"resource_id": user}, headers=own)
        return [each["actor_type"] for each in found.json()["events"]]

    await until(actors)
    assert await actors() == ["operator"]


async def end_token(stack: Stack, client: httpx.AsyncClient) -> None:
    """As if its minutes were over: what the session has for the tenant that is open is refused."""
    environment = psutil.Process(stack.ready["processes"]["console"]).environ()
    keyring = Keyring(parse_encryption_keys(environment["TENANTRY_CONSOLE_KEYS"]))
    async with Redis.from_url(environment["TENANTRY_REDIS_URL"]) as redis:
        sessions = Sessions(keyring, redis)
        found = await sessions.find(next(iter(client.cookies.values())))
        assert found is not None
        session = found[0]
        assert session.open is not None
        ended = session.open.model_copy(update={"token": "ended", "expires_at": time.time() - 1})
        await sessions.change(session.model_copy(update={"open": ended}))


async def test_a_token_that_has_ended_is_replaced_and_no_write_is_sent_twice(
    operator: httpx.AsyncClient, operator_api: httpx.AsyncClient, stack: Stack
) -> None:
    tenant, key = await new_tenant(operator_api, "Long")
    await post(operator, f"/tenants/{tenant}/open")
    form = hidden_of(await operator.get("/users/new")) | {"email": "once@example.com"}
    await end_token(stack, operator)
    pages = await asyncio.gather(
        operator.post("/users/new", data=form),
        operator.get("/users"),
        operator.post("/users/new", data=form),
        operator.get("/audit"),
    )
    assert [page.status_code for page in pages] == [200] * 4
    assert all("Viewing" in page.text for page in pages)
    assert pages[0].url.path == pages[2].url.path
    user = pages[0].url.path.removeprefix("/users/")
    own = {"Authorization": f"Bearer {key}"}
    users = (await operator_api.get("/v1/admin/users", headers=own)).json()["users"]
    assert [each["id"] for each in users] == [user]

    async def actors() -> list[str]:
        found = await operator_api.get("/v1/admin/audit", params={"resource_id": user}, headers=own)
        return [each["actor_type"] for each in found.json()["events"]]

    await until(actors)
    assert await actors() == ["operator"]


async def test_a_token_that_cannot_be_replaced_now_loses_neither_the_tenant_nor_the_form(
    operator: httpx.AsyncClient, operator_api: httpx.AsyncClient, stack: Stack
) -> None:
    tenant, _ = await new_tenant(operator_api, "Waiting")
    await post(operator, f"/tenants/{tenant}/open")
    form = hidden_of(await operator.get("/users/new")) | {"email": "waits@example.com"}
    await end_token(stack, operator)
    stack.hang("projects", signal.SIGSTOP)
    try:
        page, sent = await asyncio.gather(
            operator.get("/users"), operator.post("/users/new", data=form)
        )
    finally:
        stack.hang("projects", signal.SIGCONT)
    assert {page.status_code, sent.status_code} <= {503, 504}
    assert "Viewing" in page.text
    assert "waits@example.com" in sent.text
    done = await operator.post("/users/new", data=kept_of(sent))
    assert ("Viewing" in done.text, done.url.path.startswith("/users/usr_")) == (True, True)


async def test_another_site_opens_no_tenant(
    operator: httpx.AsyncClient, operator_api: httpx.AsyncClient
) -> None:
    tenant, _ = await new_tenant(operator_api, "Closed")
    assert (await operator.get(f"/tenants/{tenant}/open")).status_code in (404, 405)
    assert (await operator.post(f"/tenants/{tenant}/open")).status_code == 403
    forged = await operator.post(f"/tenants/{tenant}/open", data={"form_token": "x"})
    assert forged.status_code == 403
    page = await operator.get("/tenants")
    cross = {"Sec-Fetch-Site": "cross-site"}
    form = {"form_token": TOKEN.findall(page.text)[0]}
    crossed = await operator.post(f"/tenants/{tenant}/open", data=form, headers=cross)
    assert crossed.status_code == 403
    assert "Viewing" not in (await operator.get("/")).text


async def test_a_form_of_one_tenant_changes_nothing_in_another_that_was_opened_since(
    operator: httpx.AsyncClient, operator_api: httpx.AsyncClient
) -> None:
    first, _ = await new_tenant(operator_api, "First")
    second, key = await new_tenant(operator_api, "Second")
    await post(operator, f"/tenants/{first}/open")
    form = TOKEN.findall((await operator.get("/users/new")).text)[0]
    await post(operator, "/leave")
    await post(operator, f"/tenants/{second}/open")
    made = {"form_token": form, "email": "first@example.com"}
    assert (await operator.post("/users/new", data=made)).status_code == 403
    users = await operator_api.get("/v1/admin/users", headers={"Authorization": f"Bearer {key}"})
    assert users.json()["users"] == []


async def test_a_suspended_tenant_is_looked_into_and_offers_no_change(
    operator: httpx.AsyncClient, operator_api: httpx.AsyncClient
) -> None:
    tenant, _ = await new_tenant(operator_api, "Sleeping")
    await operator_api.patch(f"/v1/admin/tenants/{tenant}", json={"status": "suspended"})
    await post(operator, f"/tenants/{tenant}/open")
    users = await operator.get("/users")
    assert ("Viewing" in users.text, "New user" in users.text) == (True, False)


async def test_a_tenant_that_is_deleted_is_left(
    operator: httpx.AsyncClient, operator_api: httpx.AsyncClient
) -> None:
    tenant, _ = await new_tenant(operator_api, "Short")
    opened = await post(operator, f"/tenants/{tenant}/open")
    assert "Viewing" in opened.text
    await operator_api.delete(f"/v1/admin/tenants/{tenant}")
    after = await operator.get("/users")
    assert (after.url.path, "Viewing" in after.text) == ("/tenants", False)


async def test_a_deletion_is_shown_until_every_service_has_confirmed(
    browser: Browser, stack: Stack, console: str, operator_api: httpx.AsyncClient
) -> None:
    tenant, _ = await new_tenant(operator_api, "Leaving")
    context = await browser.new_context()
    page = await sign_in(context, console, stack.ready["operator_key"], f"/tenants/{tenant}/delete")
    stack.hang("webhooks", signal.SIGSTOP)
    try:
        await page.click("button.bad")
        assert page.url == f"{console}/tenants/{tenant}/deletion"
        await page.wait_for_function(
            "document.querySelectorAll('.badge').length == 3"
            " && document.querySelectorAll('.badge.good').length == 2",
            timeout=20_000,
        )
        await page.goto(f"{console}/tenants/{tenant}")
        await page.click("text=How far it is")
    finally:
        stack.hang("webhooks", signal.SIGCONT)
    await page.wait_for_selector("text=every service has confirmed", timeout=20_000)
    await context.close()


async def test_signing_keys_are_a_timeline_and_a_rotation_too_soon_offers_force(
    browser: Browser, stack: Stack, console: str, api: httpx.AsyncClient, shown: Shown
) -> None:
    project = (await api.post("/v1/admin/projects", json={"name": "Keys"})).json()["id"]
    context = await browser.new_context(timezone_id="Europe/Berlin")
    keys = f"/projects/{project}/signing-keys"
    page = await sign_in(context, console, stack.ready["api_key"], keys)
    states = [await each.inner_text() for each in await page.query_selector_all(".timeline .badge")]
    assert states == ["next", "active"]
    published = await page.inner_text("main pre >> nth=-1")
    assert published.count('"kid"') == 2
    await page.click("text=Rotate")
    await page.click("button.main")
    assert "Wait until" in await page.inner_text("[role=alert]")
    assert await page.query_selector("[role=alert] time[title$=UTC]") is not None
    assert await page.evaluate("document.activeElement.name") == "force"
    await page.check("[name=force]")
    await page.click("button.main")
    await page.wait_for_selector(".timeline .retiring")
    states = [await each.inner_text() for each in await page.query_selector_all(".timeline .badge")]
    assert states == ["next", "active", "retiring"]
    assert "published until" in await page.inner_text(".timeline .retiring")
    await context.close()
