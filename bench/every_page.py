"""Every screen of the console as a picture, for a person to look at: each kind of page that links
lead to, and what forms answer; light and dark, on a telephone and on a desk.
"""

import io
import re
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.async_api import Page

FOLDER = Path(__file__).parent.parent / "screenshots"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTHS = (360, 1280)
_ID = re.compile(r"[a-z]{2,4}_[0-9a-z]{26}")
_FILES = ("/audit/export", "/audit/checkpoint")
_LINKS = "links => links.map(link => link.getAttribute('href'))"


async def take_pictures(page: Page, name: str) -> None:
    """Of the page that is open, on each screen, to its end."""
    FOLDER.mkdir(exist_ok=True)
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 740})
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme)
            image = Image.open(io.BytesIO(await page.screenshot(full_page=True)))
            file = FOLDER / f"{name}-{width}-{scheme}.png"
            image.convert("RGB").quantize(colors=64).save(file, optimize=True)
    sys.stdout.write(f"{name}\n")


async def take_kinds(page: Page, console: str, start: Sequence[str], prefix: str) -> None:
    """One page of each kind that links lead to."""
    async for name in _kinds(page, console, start):
        await take_pictures(page, f"{prefix}-{name}")


async def _kinds(page: Page, console: str, start: Sequence[str]) -> AsyncIterator[str]:
    """Opens one after the other; its name is the path, with `id` for each identifier."""
    waiting, seen = list(start), set[str]()
    while waiting:
        path = waiting.pop(0)
        plain = re.sub(r"/event-types/.+", "/event-types/one", _ID.sub("id", path.split("?")[0]))
        name = plain.strip("/").replace("/", "-") or "overview"
        if name in seen or path.startswith(_FILES):
            continue
        seen.add(name)
        await page.goto(f"{console}{path}")
        waiting += await page.eval_on_selector_all("a[href^='/']", _LINKS)
        yield name


async def take_answers(page: Page, console: str, paths: dict[str, str]) -> None:
    """What forms answer: refusals, secrets, what was found."""
    await page.goto(f"{console}/users/new")
    await page.fill("[name=email]", "ada.berger@example.com")
    await page.fill("[name=metadata]", '{"plan": ')
    await page.click("button.main")
    await take_pictures(page, "answer-field-refused")
    await page.goto(f"{console}{paths['project']}/api-keys/new")
    await page.fill("[name=name]", "Nightly export")
    await page.check("[value='users:read']")
    await page.click("button.main")
    await take_pictures(page, "answer-secret")
    for _ in range(2):
        await page.goto(f"{console}{paths['signing-keys']}/rotate")
        await page.click("button.main")
    await take_pictures(page, "answer-rotation-too-soon")
    await page.goto(f"{console}/users/import")
    lines = b"email,name\nzoe@example.com,Zoe Adams\nnonsense,Nobody\n"
    await page.set_input_files(
        "#file", files={"name": "users.csv", "mimeType": "text/csv", "buffer": lines}
    )
    await page.click("button.main")
    await page.wait_for_selector("text=Go on")
    await take_pictures(page, "answer-import")
    await page.goto(f"{console}/search?q=a")
    await take_pictures(page, "answer-search")
    await page.goto(f"{console}/search?q=nothing-has-this-name")
    await take_pictures(page, "answer-search-nothing")
    await page.goto(f"{console}/no-such-page")
    await take_pictures(page, "answer-no-such-page")
    await _take_conflict(page, console, paths["user"])


async def _take_conflict(page: Page, console: str, user: str) -> None:
    """Somebody else has edited it meanwhile; then the session has ended."""
    other = await page.context.new_page()
    for each in (page, other):
        await each.goto(f"{console}{user}/edit")
    await other.fill("[name=username]", "ada")
    await other.click("button.main")
    await other.close()
    await page.fill("[name=name]", "Ada B. Lang")
    await page.click("button.main")
    await take_pictures(page, "answer-changed-meanwhile")
    await page.context.clear_cookies()
    await page.click("button.main")
    await take_pictures(page, "answer-session-ended")


async def take_operator(page: Page, console: str) -> None:
    """The operator's own pages, a tenant that is open, and the deletion of one."""
    await take_kinds(page, console, ("/", "/tenants"), "operator")
    await page.goto(f"{console}/tenants/new")
    await page.fill("[name=name]", "Short-lived")
    await page.fill("[name=slug]", "short-lived")
    await page.click("button.main")
    await take_pictures(page, "operator-tenant-created")
    await page.goto(f"{console}/tenants?q=demo")
    await page.click("main th a")
    await page.click("main button:text-is('Open')")
    await page.wait_for_selector(".viewing")
    await take_pictures(page, "operator-in-a-tenant")
    await page.click("text=Leave")
    await page.goto(f"{console}/tenants?q=short")
    await page.click("main th a")
    await page.click("main >> text=Delete")
    await page.click("button.bad")
    await take_pictures(page, "operator-deletion")
