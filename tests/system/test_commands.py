"""What the commands over HTTP promise: plain words, JSON for scripts, exit codes, no traceback."""

import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import typer
from aiohttp import ClientSession
from support.api import Api
from support.stack import Ran, Stack, running_stack, tenantry
from support.waiting import until
from tenantry.cli import app

WITHOUT_JSON = {"completion", "dev", "demo", "draft-migration"}
"""One is for a shell, one runs until it is stopped, one runs a scenario, one writes a file."""


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("commands")
    async with running_stack(folder, TENANTRY_RATE_LIMIT="100000/second") as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


def data(stack: Stack) -> str:
    return f"--data={stack.ready_file.parent / 'data'}"


async def made(stack: Stack) -> tuple[str, dict[str, Any]]:
    """A tenant's slug, and what its creation answered."""
    slug = f"t-{uuid4().hex}"
    ran = await tenantry(
        "tenants", "create", "--name", "Acme", "--slug", slug, "--json", data(stack)
    )
    assert ran.code == 0, ran.err
    return slug, ran.json


def lines_of(file: Path) -> int:
    return len(file.read_bytes().splitlines())


async def exported(stack: Stack, key: str, file: Path, wanted: int) -> Ran:
    """An export that has that many events: the trail follows by event."""

    async def whole() -> Ran | None:
        ran = await tenantry(
            *("audit", "export", "--json", "--url", stack.url, "--output", str(file)),
            TENANTRY_API_KEY=key,
        )
        assert ran.code == 0, ran.err
        return ran if lines_of(file) >= wanted else None

    return await until(whole)


async def test_a_tenant_is_made_suspended_resumed_and_erased(
    stack: Stack, http: ClientSession
) -> None:
    slug, answer = await made(stack)
    tenant = Api(http, stack.url, answer["api_key"]["secret"])
    assert (await tenant("GET", "/v1/admin/users")).status == 200
    suspended = await tenantry("tenants", "suspend", slug, "--json", data(stack))
    assert (suspended.code, suspended.json["status"]) == (0, "suspended")
    assert (await tenant("GET", "/v1/admin/users")).status == 403
    resumed = await tenantry("tenants", "resume", answer["tenant"]["id"], "--json", data(stack))
    assert (resumed.code, resumed.json["status"]) == (0, "active")
    assert (await tenant("GET", "/v1/admin/users")).status == 200
    erased = await tenantry("tenants", "delete", slug, "--yes", "--json", data(stack))
    assert erased.json == {"id": answer["tenant"]["id"], "deleted": True}
    found = await tenantry("tenants", "list", "--q", slug, "--json", data(stack))
    assert found.json == {"tenants": [], "total": 0, "total_exact": True}
    assert (erased.err, found.err) == ("", "")


async def test_nothing_is_erased_without_a_yes(stack: Stack) -> None:
    slug, answer = await made(stack)
    refused = await tenantry("tenants", "delete", slug, data(stack))
    assert (refused.code, refused.out) == (2, "")
    assert "--yes" in refused.err
    preview = await tenantry("tenants", "delete", slug, "--dry-run", "--json", data(stack))
    assert preview.json["would_delete"]["api_keys"] == 1
    found = await tenantry("tenants", "list", "--q", slug, "--json", data(stack))
    assert [each["id"] for each in found.json["tenants"]] == [answer["tenant"]["id"]]


async def test_people_read_tables_and_names_command_nothing(stack: Stack) -> None:
    slug = f"t-{uuid4().hex}"
    name = "[bold red]Acme[/]"
    ran = await tenantry("tenants", "create", "--name", name, "--slug", slug, data(stack))
    assert "Keep the secret" in ran.err
    shown = await tenantry("tenants", "list", "--q", slug, data(stack))
    assert shown.out.split()[:4] == ["id", "name", "slug", "status"]
    assert name in shown.out
    assert slug in shown.out


async def test_a_list_goes_on_past_a_page(stack: Stack) -> None:
    for _ in range(2):
        await made(stack)
    one = await tenantry("tenants", "list", "--limit", "1", data(stack))
    assert len(one.out.splitlines()) == 3, "a pipe gets the table alone"
    assert "--limit shows more" in one.err
    all_of_them = await tenantry("tenants", "list", "--limit", "1000", "--json", data(stack))
    assert len(all_of_them.json["tenants"]) == all_of_them.json["total"] >= 2


async def test_a_key_is_made_listed_and_revoked(stack: Stack, http: ClientSession) -> None:
    _, answer = await made(stack)
    mine = {"TENANTRY_API_KEY": answer["api_key"]["secret"], "TENANTRY_URL": stack.url}
    tenant = Api(http, stack.url, mine["TENANTRY_API_KEY"])
    await tenant("POST", "/v1/admin/projects", {"name": "Web", "slug": "web"})
    key = await tenantry(
        *("keys", "create", "web", "--name", "backend", "--scopes", "users:read"),
        *("--expires-at", "90d", "--json"),
        **mine,
    )
    assert key.code == 0, key.err
    assert key.json["scopes"] == ["users:read"]
    assert key.json["expires_at"] is not None
    backend = Api(http, stack.url, key.json["secret"])
    assert (await backend("GET", "/v1/admin/users")).status == 200
    listed = await tenantry("keys", "list", "web", **mine)
    assert key.json["id"] in listed.out
    assert key.json["secret"] not in listed.out
    revoked = await tenantry("keys", "revoke", "web", key.json["id"], "--json", **mine)
    assert revoked.json == {"id": key.json["id"], "revoked": True}
    assert (await backend("GET", "/v1/admin/users")).status == 401


async def test_an_export_is_proven_offline_and_a_change_is_named(
    stack: Stack, http: ClientSession, tmp_path: Path
) -> None:
    _, answer = await made(stack)
    key, file = answer["api_key"]["secret"], tmp_path / "trail.ndjson"
    for name in ("ada", "bob"):
        await Api(http, stack.url, key)("POST", "/v1/admin/users", {"email": f"{name}@example.com"})
    saved = await exported(stack, key, file, 4)
    assert saved.json["bytes"] == file.stat().st_size
    assert file.stat().st_mode & 0o077 == 0
    proven = await tenantry("audit", "verify", "--file", str(file), "--json")
    assert (proven.code, proven.json["valid"]) == (0, True)
    lines = file.read_text().splitlines(keepends=True)
    forged = json.loads(lines[1])
    lines[1] = json.dumps(forged | {"actor_id": "key_somebody_else"}) + "\n"
    file.write_text("".join(lines))
    broken = await tenantry("audit", "verify", "--file", str(file), "--json")
    assert broken.code == 1
    assert broken.json["trails"][0]["first_broken"]["id"] == forged["id"]
    shown = await tenantry("audit", "verify", "--file", str(file))
    assert forged["id"] in shown.out
    assert "1 of 1 broken" in shown.out


async def test_a_filtered_export_promises_no_proof(
    stack: Stack, http: ClientSession, tmp_path: Path
) -> None:
    _, answer = await made(stack)
    key, file = answer["api_key"]["secret"], tmp_path / "part.ndjson"
    await Api(http, stack.url, key)("POST", "/v1/admin/users", {"email": "ada@example.com"})
    whole = await exported(stack, key, file, 3)
    assert whole.json["provable"] is True
    filters = (
        ("--action=user.*",), ("--actor", answer["api_key"]["id"]), ("--since=1d",),
        ("--until=1h",), ("--resource", answer["tenant"]["id"]), ("--format=csv",),
    )  # fmt: skip
    arguments = ("audit", "export", "--url", stack.url, "--output", str(file))
    for given in filters:
        said = await tenantry(*arguments, *given, TENANTRY_API_KEY=key)
        assert said.code == 0, said.err
        assert "proves it" not in said.out, given
        assert "cannot be proven" in said.out, given
        part = await tenantry(*arguments, *given, "--json", TENANTRY_API_KEY=key)
        assert part.json["provable"] is False, given


async def test_the_verdict_on_a_part_of_a_trail_says_what_it_is(
    stack: Stack, http: ClientSession, tmp_path: Path
) -> None:
    _, answer = await made(stack)
    key, file = answer["api_key"]["secret"], tmp_path / "part.ndjson"
    for name in ("ada", "bob"):
        await Api(http, stack.url, key)("POST", "/v1/admin/users", {"email": f"{name}@example.com"})
    await exported(stack, key, file, 4)
    lines = file.read_text().splitlines(keepends=True)
    file.write_text(lines[0] + lines[2] + lines[3])
    gap = await tenantry("audit", "verify", "--file", str(file))
    assert (gap.code, "with filters" in gap.out) == (1, True)
    file.write_text(lines[0] + lines[1])
    late = await tenantry("audit", "verify", "--file", str(file))
    assert (late.code, "before event 3" in late.out) == (0, True)
    file.write_text("")
    empty = await tenantry("audit", "verify", "--file", str(file))
    assert (empty.code, "has no events" in empty.err) == (2, True)


async def test_an_export_without_a_file_goes_to_standard_output(stack: Stack) -> None:
    _, answer = await made(stack)
    key = answer["api_key"]["secret"]
    ran = await tenantry(
        "audit", "export", "--format=csv", "--url", stack.url, TENANTRY_API_KEY=key
    )
    assert ran.code == 0
    assert ran.out.startswith("id,sequence,")


async def test_a_refused_credential_is_said_for_people_and_for_scripts(stack: Stack) -> None:
    url = f"--url={stack.url}"
    people = await tenantry("tenants", "list", url, TENANTRY_OPERATOR_KEY="wrong")
    assert people.code == 1
    assert "Check the key" in people.err
    scripts = await tenantry("tenants", "list", url, "--json", TENANTRY_OPERATOR_KEY="wrong")
    assert (scripts.code, scripts.out) == (1, "")
    assert (scripts.error["code"], scripts.error["status"]) == ("unauthenticated", 401)
    assert scripts.error["request_id"]


def beside(stack: Stack, folder: Path) -> None:
    """Makes it a folder in which `tenantry dev` runs."""
    (folder / ".tenantry").symlink_to(stack.ready_file.parent / "data")


async def test_the_folder_of_a_running_product_tells_all_but_to_no_other_machine(
    stack: Stack, tmp_path: Path
) -> None:
    beside(stack, tmp_path)
    for arguments in (("tenants", "list"), ("audit", "export"), ("migrate", "--check")):
        near = await tenantry(*arguments, folder=tmp_path)
        assert near.code == 0, near.err
    far = await tenantry("tenants", "list", "--url=https://auth.example.com", folder=tmp_path)
    assert (far.code, "TENANTRY_OPERATOR_KEY" in far.err) == (2, True)


async def test_completion_knows_the_commands() -> None:
    ran = await tenantry(
        _TENANTRY_COMPLETE="complete_bash", COMP_WORDS="tenantry te", COMP_CWORD="1"
    )
    assert "tenants" in ran.out.split()


def commands(group: Any, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, *names, name)
        else:
            yield (*names, name), command


def test_every_command_with_a_result_gives_it_as_json() -> None:
    found = dict(commands(typer.main.get_command(app)))
    assert ("events", "dead-letters", "requeue") in found
    without = {
        names[-1]
        for names, command in found.items()
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert without == WITHOUT_JSON


async def test_the_supervisor_stays_light() -> None:
    import asyncio

    heavy = ("aiohttp", "alembic", "asyncpg", "fastapi", "httpx", "nats", "pydantic", "rich")
    heavy += ("sqlalchemy", "tenantry_client")
    program = f"import sys, tenantry.cli, tenantry.dev.run; print(*set({heavy}) & set(sys.modules))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert (process.returncode, out.decode().split()) == (0, [])
