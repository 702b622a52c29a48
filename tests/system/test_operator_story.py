"""An operator who knows `--help` alone upgrades from version 0.1, sets up two tenants from git,
rotates everything, breaks the installation and restores it.

Every command and every option that is typed must be one that a `--help` has shown before.
"""

import asyncio
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from release_0_1.dev import dev_of_0_1
from release_0_1.rolling import unpacked
from support.api import Api, new_tenant
from support.stack import Stack, running_stack

_COMMANDS = re.compile(r"^(?:Commands|Resources):\n((?:^ .*\n|\n)+)", re.MULTILINE)
CHANGES, NOTHING = 2, 0
"""Exit codes of a plan."""
ATLAS = """\
tenantry: 1
projects:
  - slug: web
    name: Web
    environment: production
    allowed_origins: [https://app.atlas.example]
    settings: {mfa: required}
    api_keys:
      - name: backend
        scopes: [users:read, users:write]
organizations:
  - slug: north
    name: North
    max_members: 100
webhooks:
  - url: https://hooks.atlas.example/in
    events: [user.*]
    status: disabled
"""
BOREAL = ATLAS.replace("atlas", "boreal").replace("North", "Süd")


@dataclass
class Operator:
    """Types commands in a folder; refuses to type what no help has named."""

    folder: Path
    help_texts: dict[tuple[str, ...], str] = field(default_factory=dict)

    async def __call__(self, *typed: str, code: int = 0, keyboard: str = "") -> str:
        """What it printed, with the exit code that is expected."""
        await self.look_up(typed)
        out, err, ended = await self._run(typed, keyboard)
        assert ended == code, f"{' '.join(typed)} ended with {ended}: {out} {err}"
        return out

    async def json(self, *typed: str) -> Any:
        return json.loads(await self(*typed, "--json"))

    async def look_up(self, typed: tuple[str, ...]) -> None:
        words: tuple[str, ...] = ()
        text = await self._help(words)
        while commands := _commands(text):
            word = typed[len(words)]
            assert word in commands, f"`tenantry {' '.join(words)} --help` names no {word}: {text}"
            words = (*words, word)
            text = await self._help(words)
        for each in typed:
            if each.startswith("-"):
                option = re.escape(each.partition("=")[0])
                pattern = rf"^\s+(\S+, |\S+ / )*{option}[ ,\n]"
                assert re.search(pattern, text, re.MULTILINE), f"no {option}: {text}"

    async def _help(self, words: tuple[str, ...]) -> str:
        if words not in self.help_texts:
            out, err, code = await self._run((*words, "--help"), "")
            assert code == 0, err
            self.help_texts[words] = out
        return self.help_texts[words]

    async def _run(self, typed: tuple[str, ...], keyboard: str) -> tuple[str, str, int]:
        kept = {name: value for name, value in os.environ.items() if "TENANTRY" not in name}
        settings = {"COLUMNS": "120", "TENANTRY_PROFILES": str(self.folder / "profiles.json")}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tenantry", *typed),
            cwd=self.folder,
            env={**kept, **settings},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(keyboard.encode()), 120)
        assert b"Traceback" not in err, err.decode()
        return out.decode(), err.decode(), process.returncode or 0


def _commands(text: str) -> set[str]:
    """What a help names below its headings; empty for a command that has none."""
    blocks = "".join(_COMMANDS.findall(text))
    return set(re.findall(r"^  ([a-z][a-z-]*)  +\S", blocks, re.MULTILINE))


async def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=o", "-c", "user.email=o@example.com")
    process = await asyncio.create_subprocess_exec("git", *who, *arguments, cwd=folder)
    assert await process.wait() == 0


async def set_up_from_git(tenantry: Operator, url: str, data: str) -> None:
    repository = tenantry.folder / "configuration"
    repository.mkdir()
    await git(repository, "init", "--quiet")
    for name, content in (("atlas", ATLAS), ("boreal", BOREAL)):
        (repository / f"{name}.yaml").write_text(content)
        await git(repository, "add", f"{name}.yaml")
        await git(repository, "commit", "--quiet", "-m", f"Describe {name}")
        made = await tenantry.json("tenants", "create", f"--name={name}", f"--slug={name}", data)
        key = made["api_key"]["secret"]
        await tenantry("login", f"--url={url}", f"--profile={name}", keyboard=key)
        plan = (f"--file=configuration/{name}.yaml", f"--profile={name}")
        secrets = f"--secrets={name}.json"
        await tenantry("apply", *plan, "--dry-run", code=CHANGES)
        await tenantry("apply", *plan, secrets, "--yes")
        await tenantry("apply", *plan, "--dry-run", code=NOTHING)
        email = f"ada@{name}.example"
        await tenantry("users", "create", f"--email={email}", f"--profile={name}")


async def rotate_everything(tenantry: Operator, url: str, data: str) -> None:
    await tenantry("keys", "rewrap", data)
    await tenantry("keys", "hashes", data)
    await tenantry("keys", "rotate-token-key", data, "--leaked")
    for name in ("atlas", "boreal"):
        profile = f"--profile={name}"
        (key,) = (await tenantry.json("keys", "list", "web", profile))["api_keys"]
        rotated = await tenantry.json("keys", "rotate", "web", key["id"], profile)
        login = ("login", f"--url={url}", f"--profile={name}-backend")
        await tenantry(*login, keyboard=rotated["secret"])
        await tenantry("signing-keys", "rotate", "web", "--force", profile)
        (webhook,) = (await tenantry.json("webhooks", "list", profile))["webhooks"]
        await tenantry("webhooks", "rotate-secret", webhook["id"], profile)
        roots = await tenantry.json("root-keys", "list", name, data)
        second = await tenantry.json("root-keys", "create", name, data)
        await tenantry("login", f"--url={url}", profile, keyboard=second["secret"])
        (first,) = roots["api_keys"]
        await tenantry("root-keys", "revoke", name, first["id"], "--yes", data)


async def check_tenants(tenantry: Operator) -> None:
    """Both are what git says, and their keys work: those that were rotated."""
    for name in ("atlas", "boreal"):
        plan = (f"--file=configuration/{name}.yaml", f"--profile={name}")
        await tenantry("apply", *plan, "--dry-run", code=NOTHING)
        users = await tenantry.json("users", "list", f"--profile={name}-backend")
        assert [each["email"] for each in users["users"]] == [f"ada@{name}.example"]


async def check_installation(tenantry: Operator, data: str, before: Api, stack: Stack) -> None:
    await tenantry("migrate", "--check", data)
    await tenantry("doctor", data)
    await tenantry("audit", "verify", data)
    before.url = stack.url
    answer = await before("GET", "/v1/admin/users")
    assert [each["email"] for each in answer.body["users"]] == ["early@example.com"]


@pytest.mark.parametrize(
    "typed",
    [("explode",), ("projects", "explode"), ("projects", "list", "--explode")],
    ids=" ".join,
)
async def test_what_no_help_names_is_not_typed(tmp_path: Path, typed: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError, match="explode"):
        await Operator(tmp_path).look_up(typed)


async def test_help_alone_is_enough_to_operate_it(tmp_path: Path) -> None:
    tenantry = Operator(tmp_path)
    data = f"--data={tmp_path / 'data'}"
    async with ClientSession() as http:
        with unpacked(tmp_path / "fixture"):
            async with dev_of_0_1(tmp_path / "fixture/source", tmp_path) as ready:
                before = await new_tenant(http, ready["base_url"], ready["operator_key"])
                await before("POST", "/v1/admin/users", {"email": "early@example.com"})
        dev = ("dev", "--no-demo", "--no-console", "--port", "--ready-file", data)
        await tenantry.look_up(dev)
        async with running_stack(tmp_path, "--no-demo") as stack:
            await check_installation(tenantry, data, before, stack)
            await set_up_from_git(tenantry, stack.url, data)
            await rotate_everything(tenantry, stack.url, data)
            await check_tenants(tenantry)
            url = stack.url
            await tenantry("backup", "monday.backup", data)
            await tenantry("users", "create", "--email=late@example.com", "--profile=atlas")
        shutil.rmtree(tmp_path / "data/postgres")
        shutil.rmtree(tmp_path / "data/nats")
        new = tmp_path / "new"
        (new / "data").mkdir(parents=True, mode=0o700)
        shutil.copy(tmp_path / "data/secrets.json", new / "data/secrets.json")
        data = f"--data={new / 'data'}"
        await tenantry("restore", "monday.backup", data)
        port = f"--port={url.rpartition(':')[2]}"  # at the address that the profiles have
        async with running_stack(new, "--no-demo", port) as stack:
            await check_installation(tenantry, data, before, stack)
            await check_tenants(tenantry)
