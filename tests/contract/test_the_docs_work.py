"""The documentation cannot rot: its commands run, and it names what there is, all of it, alone.

Blocks marked `bash` are commands to paste, and are run here; what is marked `console` only shows.
"""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from contracts.events import EVENT_TYPES
from contracts.problems import PROBLEMS
from edge.routers import ROUTES
from support.stack import Stack, running_stack
from tenantry.servers.ports import free_ports

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
QUICK_START = DOCS / "quick-start.md"
PAGES = [README, ROOT / "SECURITY.md", *sorted(DOCS.rglob("*.md"))]
# The endpoint of this page exists only where tests/system/test_adding_a_service.py adds it.
API_PAGES = [page for page in PAGES if page.name != "adding-a-service.md"]
SCOPES = {(route.method, route.path): route.scopes for route in ROUTES}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def named(page: Path) -> Iterator[tuple[str, str]]:
    """The endpoints that a page names with their method."""
    yield from re.findall(r"`(GET|POST|PATCH|DELETE) (/v1/[^`?\s]+)", page.read_text())


@pytest.fixture(scope="module")
async def reader(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Path, Stack]]:
    """The folder in which a reader has said `make run`."""
    folder = tmp_path_factory.mktemp("reader")
    places = {".venv": Path(sys.prefix), "docs": DOCS, ".tenantry": folder / "data"}
    for name, place in places.items():
        (folder / name).symlink_to(place)
    async with running_stack(folder) as stack:
        yield folder, stack


async def paste(reader: tuple[Path, Stack], page: Path) -> str:
    """What a shell says to all commands of a page, one after another."""
    folder, stack = reader
    (port,) = free_ports(1)
    ready = {"API": stack.url, "KEY": stack.ready["api_key"], "PORT": str(port)}
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", "\n".join(blocks(page, "bash"))),
        cwd=folder,
        env={**os.environ, **ready},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = output.decode()
    assert process.returncode == 0, said
    return said


async def test_the_quick_start_does_what_it_says(reader: tuple[Path, Stack]) -> None:
    said = await paste(reader, QUICK_START)
    lines = said.splitlines()
    for block in blocks(QUICK_START, "text"):
        for line in block.splitlines():
            pattern = re.escape(line).replace(r"\.\.\.", r"\w+")
            assert any(re.fullmatch(pattern, each) for each in lines), f"{line} is not in {said}"
    for block in blocks(QUICK_START, "json"):
        for member in re.findall(r'"\w+": (?:"\w+"|true|null|900)?', block):
            assert member.strip().replace(" ", "") in said, f"{member} is not in {said}"
    assert "refused" not in said


async def test_the_quick_start_can_be_done_again(reader: tuple[Path, Stack]) -> None:
    for _ in range(2):
        assert "refused" not in await paste(reader, QUICK_START)


async def test_the_first_request_of_the_readme_works(reader: tuple[Path, Stack]) -> None:
    assert '"slug":"acme-inc"' in await paste(reader, README)


def test_the_pages_name_every_endpoint_and_no_other() -> None:
    found = {endpoint for page in API_PAGES for endpoint in named(page)}
    assert found == set(SCOPES)


def test_every_path_in_an_example_is_one_of_an_endpoint() -> None:
    known = [re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for _, path in SCOPES]
    for page in API_PAGES:
        for path in re.findall(r"/v1/[^\s`\"'()|?,]+", page.read_text()):
            assert path == "/v1/admin" or any(each.fullmatch(path) for each in known), (page, path)


def test_the_tables_tell_the_scope_of_each_endpoint() -> None:
    row = re.compile(r"^\| `([A-Z]+) (/v1/\S+)` \| `([a-z_]+:[a-z]+)` \|", re.MULTILINE)
    told = {(method, path): scope for page in PAGES
            for method, path, scope in row.findall(page.read_text())}  # fmt: skip
    assert told == {endpoint: scopes[0] for endpoint, scopes in SCOPES.items() if scopes}


def test_the_conventions_explain_every_problem_and_no_other() -> None:
    rows = re.findall(
        r"^\| (\d{3}) \| (.*?) \|", (DOCS / "conventions.md").read_text(), re.MULTILINE
    )
    told = {(code, int(status)) for status, codes in rows for code in re.findall(r"`(\w+)`", codes)}
    # 409 to whoever administers, 410 to whoever accepts.
    told.add(("invitation_closed", 410))
    told.discard(("invitation_closed", 409))
    assert told == {(code, status) for code, (status, _) in PROBLEMS.items()}


def test_the_page_of_events_lists_every_type_and_no_other() -> None:
    text = (DOCS / "api" / "audit.md").read_text()
    kinds = "|".join({each.split(".")[0] for each in EVENT_TYPES})
    assert set(re.findall(rf"`((?:{kinds})\.[a-z_]+)`", text)) == set(EVENT_TYPES)


def test_the_verification_that_is_shown_is_the_one_that_runs() -> None:
    (shown,) = blocks(DOCS / "api" / "webhooks.md", "python")
    assert shown[shown.index("def ") :] in (DOCS / "examples" / "receiver.py").read_text()


def test_the_verifier_in_java_that_is_shown_is_the_one_that_runs() -> None:
    (shown,) = blocks(DOCS / "api" / "signing-keys.md", "java")
    assert shown in (DOCS / "examples" / "nimbus" / "TokenVerifier.java").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere_and_every_page_is_reached(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
        assert (page.parent / link).exists(), link
    if page.is_relative_to(DOCS):
        navigation = (ROOT / "mkdocs.yml").read_text()
        assert f" {page.relative_to(DOCS)}\n" in navigation, "name it in mkdocs.yml"
