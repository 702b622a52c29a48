"""The documentation cannot rot: its commands run, and it names what there is, all of it, alone.

Of a page that begins with docs/examples/api.sh, `bash` and `python` blocks are run here, in order,
and the `text` or `json` right behind one is what it says. A block of `console` cannot be run here.
"""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
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
PAGES = [README, ROOT / "SECURITY.md", *sorted(DOCS.rglob("*.md"))]
# The endpoint of this page exists only where tests/system/test_adding_a_service.py adds it.
API_PAGES = [page for page in PAGES if page.name != "adding-a-service.md"]
PREAMBLE = ". docs/examples/api.sh\n"
PASTED = [page for page in PAGES if page == README or PREAMBLE in page.read_text()]
END = "=== end of the block ==="
VARYING = ("sequence", "length", "total", "queued", "duration_ms")
TIME = re.compile(r'"\d{4}-\d\d-\d\dT')
SCOPES = {(route.method, route.path): route.scopes for route in ROUTES}


def blocks(page: Path, language: str) -> list[str]:
    return [block for name, block in fenced(page) if name == language]


def fenced(page: Path) -> list[tuple[str, str]]:
    """The blocks of a page, each with its language."""
    return re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


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


def script_of(page: Path) -> str:
    """What a reader pastes, the ends of blocks marked, and the identifiers looked at."""
    lines = ["set -euo pipefail"]
    for command, shown in examples(page):
        # A problem that is shown is one that curl ends with.
        lines += ["set +e", command, "set -e"] if '"status": 4' in shown else [command]
        lines.append(f"echo '{END}'")
    for name in sorted(set(re.findall(r"^(\w+_ID)=", "\n".join(lines), re.MULTILINE))):
        lines.append(f"[[ ${name} =~ ^[a-z]{{3}}_[0-9a-z]{{26}}$ ]] || exit 1")
    return "\n".join(lines)


def examples(page: Path) -> list[tuple[str, str]]:
    """Commands in the order of the page, each with the output that is shown right behind it."""
    found = []
    for (name, block), (next_name, shown) in pairwise([*fenced(page), ("", "")]):
        output = shown if next_name in ("text", "json") else ""
        if name == "bash":
            found.append((block, output))
        elif name == "python":
            found.append((f".venv/bin/python - <<'END_OF_PYTHON'\n{block}END_OF_PYTHON", output))
    return found


async def paste(reader: tuple[Path, Stack], page: Path) -> list[str]:
    """What a shell says to the commands of a page, one after another."""
    folder, stack = reader
    (port,) = free_ports(1)
    ready = {"PORT": str(port)}
    if page == README:
        ready |= {"API": stack.url, "KEY": stack.ready["api_key"]}
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", script_of(page)),
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
    said = output.decode().replace("\r\n", "\n")
    assert process.returncode == 0, said
    return said.split(f"{END}\n")[:-1]


def check_shown(shown: str, said: str) -> None:
    """Lines, and members of JSON, are as they are shown; `...` is anything, and counts differ."""
    if not shown.startswith("{"):
        for line in shown.splitlines():
            pattern = re.escape(line).replace(r"\.\.\.", ".*")
            assert re.search(f"^{pattern}$", said, re.MULTILINE), f"{line} is not in {said}"
        return
    for name, value in re.findall(r'"(\w+)": ("[^"]*"|true|false|null|\d+|)', shown):
        member = f'"{name}":'
        if name not in VARYING and not TIME.match(value):
            member += value.removesuffix('"').split("...")[0]
        assert member in said.replace('": ', '":'), f"{member} is not in {said}"


@pytest.mark.parametrize("page", PASTED, ids=lambda page: page.stem)
async def test_a_page_can_be_pasted_from_top_to_bottom_and_again(
    reader: tuple[Path, Stack], page: Path
) -> None:
    for _ in range(2):
        said = await paste(reader, page)
        assert not any("refused: " in each for each in said)
        for (_, shown), output in zip(examples(page), said, strict=True):
            check_shown(shown, output)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_block_of_commands_has_no_prompt(page: Path) -> None:
    for block in (*blocks(page, "bash"), *blocks(page, "console")):
        assert not re.search(r"^\$ ", block, re.MULTILINE), block


def test_every_page_of_the_api_begins_with_the_variables() -> None:
    for page in (DOCS / "api").glob("*.md"):
        assert blocks(page, "bash")[0] == PREAMBLE, page


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere_and_every_page_is_reached(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
        assert (page.parent / link).exists(), link
    if page.is_relative_to(DOCS):
        navigation = (ROOT / "mkdocs.yml").read_text()
        assert f" {page.relative_to(DOCS)}\n" in navigation, "name it in mkdocs.yml"
