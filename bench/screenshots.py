"""`make screenshots`: the pictures of the console in docs/images, of a product with data as of one
day in a company; with `ARGS=all` every screen, in screenshots/. Needs Chromium.
"""

import asyncio
import io
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from aiohttp import web
from PIL import Image
from playwright.async_api import Browser, Page, async_playwright

from bench.every_page import take_answers, take_kinds, take_operator, take_pictures
from bench.product import Product, running, until

FOLDER = Path(__file__).parent.parent / "docs" / "images"
LARGEST = 150 * 1024
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PEOPLE = (
    "Ada Berger", "Ben Okafor", "Chiara Rossi", "Dmitri Volkov", "Elif Kaya", "Felix Huber",
    "Grace Kim", "Hana Novak", "Ivan Petrov", "Jonas Weber", "Kenji Sato", "Lena Fischer",
    "Maya Singh", "Noah Martin", "Olga Lind", "Pedro Silva", "Quinn Baker", "Rosa Garcia",
)  # fmt: skip
COMPANIES = ("Acme Rockets", "Northwind Traders", "Globex", "Initech")


class Seeder:
    """Makes the data over HTTP, as the demo tenant."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def create(self, path: str, **body: object) -> dict[str, str]:
        made = await self._http.post(f"/v1/admin/{path}", json=body)
        made.raise_for_status()
        created: dict[str, str] = made.json()
        return created

    async def change(self, path: str, **body: object) -> None:
        (await self._http.patch(f"/v1/admin/{path}", json=body)).raise_for_status()

    async def seed(self, receiver: str) -> dict[str, str]:
        """The paths of the console that are shown, by name."""
        webhook = await self.create("webhooks", url=receiver, events=["*"], description="CRM")
        users = [
            await self.create(
                "users",
                email=f"{name.lower().replace(' ', '.')}@example.com",
                name=name,
                metadata={"plan": "pro", "seats": 3 + number},
            )
            for number, name in enumerate(PEOPLE)
        ]
        for number, company in enumerate(COMPANIES):
            owner, *others = users[4 * number : 4 * number + 4]
            organization = await self.create("organizations", name=company, owner_id=owner["id"])
            for each in others:
                members = f"organizations/{organization['id']}/members"
                await self.create(members, user_id=each["id"], role="member")
        invited = f"organizations/{organization['id']}/invitations"
        await self.create(invited, email="sofia.lopez@example.com", role="admin")
        project = await self.create("projects", name="Web App", environment="production",
                                    allowed_origins=["https://app.example.com"])  # fmt: skip
        keys = f"projects/{project['id']}/api-keys"
        await self.create(keys, name="Backend", scopes=["users:read", "users:write"])
        await self.create(keys, name="Reporting", scopes=["audit:read", "organizations:read"])
        await self.create(f"projects/{project['id']}/signing-keys/rotate", force=True)
        await self.create(f"users/{users[0]['id']}/sessions", project_id=project["id"])
        await self.change(f"users/{users[5]['id']}", status="suspended")
        await self.change(f"users/{users[0]['id']}", name="Ada Berger-Lang", metadata={"seats": 9})
        event = await self._last_event(users[0]["id"])
        return {
            "overview": "/",
            "users": "/users",
            "user": f"/users/{users[0]['id']}",
            "organization": f"/organizations/{organization['id']}",
            "project": f"/projects/{project['id']}",
            "signing-keys": f"/projects/{project['id']}/signing-keys",
            "webhook": f"/webhooks/{webhook['id']}",
            "audit": "/audit",
            "audit-event": f"/audit/{event}",
        }

    async def _last_event(self, resource_id: str) -> str:
        found: list[str] = []

        async def is_recorded() -> bool:
            query = {"resource_id": resource_id, "action": "user.updated"}
            page = (await self._http.get("/v1/admin/audit", params=query)).json()
            found[:] = [event["id"] for event in page["events"]]
            return bool(found)

        await until(is_recorded)
        return found[0]


SHOWN = (
    ("overview", "light", 1280),
    ("users", "dark", 1280),
    ("signing-keys", "light", 1280),
    ("webhook", "light", 1280),
    ("audit-event", "dark", 1280),
    ("organization", "light", 360),
    ("audit", "dark", 360),
)
"""Page, scheme and width."""


async def _picture(page: Page, name: str) -> None:
    """Few colours make a small file; what is shown has few."""
    image = Image.open(io.BytesIO(await page.screenshot()))
    file = FOLDER / f"console-{name}.png"
    image.convert("RGB").quantize(colors=64).save(file, optimize=True)
    size = file.stat().st_size
    assert size < LARGEST, f"{file.name} has {size} bytes"
    sys.stdout.write(f"{file.name}: {size // 1024} KB\n")


async def _sign_in(browser: Browser, product: Product, key: str, scheme: str, width: int) -> Page:
    context = await browser.new_context(
        viewport={"width": width, "height": 720 if width > 700 else 740},
        color_scheme="dark" if scheme == "dark" else "light",
        locale="en-GB",
        timezone_id="UTC",
    )
    page = await context.new_page()
    await page.goto(f"{product.ready['console']['url']}/sign-in")
    await page.fill("#key", key)
    await page.click("main button")
    return page


@asynccontextmanager
async def _receiver() -> AsyncIterator[str]:
    """The URL of an endpoint that takes most of what it gets."""
    count = 0

    async def handle(_: web.Request) -> web.Response:
        nonlocal count
        count += 1
        return web.Response(status=500 if count % 9 == 0 else 204, text="")

    app = web.Application()
    app.router.add_post("/in", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/in"
    finally:
        await runner.cleanup()


async def _take_shown(browser: Browser, product: Product, paths: dict[str, str]) -> None:
    for name, scheme, width in SHOWN:
        page = await _sign_in(browser, product, product.ready["api_key"], scheme, width)
        await page.goto(f"{product.ready['console']['url']}{paths[name]}")
        await _picture(page, name)
        await page.context.close()
    page = await _sign_in(browser, product, product.ready["operator_key"], "light", 360)
    await page.click("body > nav >> text=Tenants")
    await page.click("main th a")
    await page.click("main button:text-is('Open')")
    await page.wait_for_selector(".viewing")
    await _picture(page, "operator")


async def _take_every_page(browser: Browser, product: Product, paths: dict[str, str]) -> None:
    console = product.ready["console"]["url"]
    page = await (await browser.new_context()).new_page()
    await page.goto(f"{console}/sign-in")
    await take_pictures(page, "sign-in")
    await page.fill("#key", "wrong")
    await page.click("main button")
    await take_pictures(page, "sign-in-refused")
    page = await _sign_in(browser, product, product.ready["api_key"], "light", 1280)
    await take_kinds(page, console, [*paths.values()], "tenant")
    await take_answers(page, console, paths)
    page = await _sign_in(browser, product, product.ready["operator_key"], "light", 1280)
    await take_operator(page, console)


async def run() -> None:
    if CHROMIUM is None:
        raise SystemExit("There is no Chromium. Install the package chromium.")
    with tempfile.TemporaryDirectory(prefix="tenantry-screenshots-") as folder:
        async with (
            running(Path(folder)) as product,
            _receiver() as receiver,
            async_playwright() as playwright,
        ):
            headers = {"Authorization": f"Bearer {product.ready['api_key']}"}
            async with httpx.AsyncClient(base_url=product.url, headers=headers) as http:
                paths = await Seeder(http).seed(receiver)
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            take = _take_every_page if sys.argv[1:] == ["all"] else _take_shown
            await take(browser, product, paths)
            await browser.close()


if __name__ == "__main__":
    asyncio.run(run())
