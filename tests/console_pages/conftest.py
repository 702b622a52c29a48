"""A stack with its console, what is shown there, and a real browser."""

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright
from support.stack import Stack, running_stack

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> {{ 7*7 }}"
LARGEST = 100 * 1024
"""Bytes of a page."""
PARTS = ("users", "organizations", "projects", "webhooks")
"""Kinds whose pages show parts."""


@dataclass
class Shown:
    """What the demo tenant has: a first one of each kind, by kind."""

    ids: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="package")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("console")
    settings = {"TENANTRY_RATE_LIMIT": "1000/second", "TENANTRY_AUDIT_CHECKPOINT_SECONDS": "1"}
    async with running_stack(folder, "--console", **settings) as running:
        yield running


@pytest.fixture(scope="package")
def console(stack: Stack) -> str:
    """The console's URL."""
    return str(stack.ready["console"]["url"])


@pytest.fixture(scope="package")
async def api(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """The API as the demo tenant."""
    headers = {"Authorization": f"Bearer {stack.ready['api_key']}"}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers) as client:
        yield client


@pytest.fixture(scope="package")
async def shown(api: httpx.AsyncClient) -> Shown:
    """One of each kind with hostile text in every field that takes it, and 60 users."""
    shown = Shown()

    async def create(kind: str, path: str, body: dict[str, Any]) -> str:
        created = await api.post(f"/v1/admin/{path}", json=body)
        assert created.status_code == 201, created.text
        return shown.ids.setdefault(kind, str(created.json()["id"]))

    metadata = {"note": HOSTILE, HOSTILE: [HOSTILE]}
    for number in range(60):
        body = {"email": f"user{number}@example.com", "name": HOSTILE, "metadata": metadata}
        await create("users", "users", {**body, "external_id": f"{HOSTILE} {number}"})
    user = shown.ids["users"]
    organization = {"name": HOSTILE, "owner_id": user, "metadata": metadata}
    organization_id = await create("organizations", "organizations", organization)
    invited = {"email": "invited@example.com"}
    await create("invitations", f"organizations/{organization_id}/invitations", invited)
    project_id = await create("projects", "projects", {"name": HOSTILE, "metadata": metadata})
    key = {"name": HOSTILE, "scopes": ["users:read"]}
    await create("api_keys", f"projects/{project_id}/api-keys", key)
    session = {"project_id": project_id, "user_agent": HOSTILE}
    created = await api.post(f"/v1/admin/users/{user}/sessions", json=session)
    assert created.status_code == 201, created.text
    webhook = {"url": "http://127.0.0.1:9/in", "events": ["*"], "description": HOSTILE}
    await create("webhooks", "webhooks", webhook)
    return shown


@pytest.fixture(scope="package")
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("NOTHING WAS RUN: there is no Chromium. Install the package chromium.")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        await browser.close()


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    await context.close()


@pytest.fixture(scope="package")
async def cookie(console: str, stack: Stack) -> tuple[str, str]:
    """Name and value, of a session as the demo tenant that all tests share who need no other."""
    async with httpx.AsyncClient(base_url=console) as client:
        signed_in = await client.post("/sign-in", data={"key": stack.ready["api_key"]})
        assert signed_in.status_code == 303, signed_in.text
        return next(iter(client.cookies.items()))


@pytest.fixture
async def page(context: BrowserContext, console: str, cookie: tuple[str, str]) -> Page:
    """Signed in as the demo tenant; nothing is open yet."""
    await context.add_cookies([{"name": cookie[0], "value": cookie[1], "url": console}])
    return await context.new_page()


async def sign_in(context: BrowserContext, console: str, key: str, path: str = "/") -> Page:
    page = await context.new_page()
    await page.goto(f"{console}{path}")
    await page.fill("#key", key)
    await page.click("main button")
    await page.wait_for_load_state()
    return page


@pytest.fixture
async def http(console: str, stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """What a program sends that is signed in as the demo tenant, in a session of its own."""
    async with httpx.AsyncClient(base_url=console) as client:
        signed_in = await client.post("/sign-in", data={"key": stack.ready["api_key"]})
        assert signed_in.status_code == 303, signed_in.text
        yield client
