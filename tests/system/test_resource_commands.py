"""The commands of the API's resources, with a tenant of one's own, on the running product."""

import asyncio
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from ruamel.yaml import YAML
from support.api import Api
from support.stack import Ran, Stack, tenantry

IMPORTS = "import httpx, pydantic, rich.table"
"""What any such command needs, whatever the speed of the machine."""
HELP_TIMES, LIST_TIMES = 1.5, 3.0


async def run(api: Api, *arguments: str, **environment: str) -> Ran:
    own = {"TENANTRY_URL": api.url, "TENANTRY_API_KEY": str(api.key)}
    return await tenantry(*arguments, **{**own, **environment})


async def done(api: Api, *arguments: str) -> Any:
    """Its result as JSON."""
    ran = await run(api, *arguments, "--json")
    assert ran.code == 0, ran.err
    return ran.json


async def test_each_verb_of_a_resource_does_what_it_says(api: Api) -> None:
    made = await done(
        api, "projects", "create", "--name=Web", "--settings=mfa=off",
        "--settings=access_token_ttl=60", "--allowed-origins=https://a.example",
        "--allowed-origins=https://b.example",
    )  # fmt: skip
    assert (made["slug"], made["settings"]["mfa"]) == ("web", "off")
    assert made["allowed_origins"] == ["https://a.example", "https://b.example"]
    patched = await done(
        api, "projects", "update", "web", "--settings=mfa=null", "--unset=allowed-origins"
    )
    assert patched["settings"] == made["settings"] | {"mfa": "optional"}
    assert patched["allowed_origins"] == []
    assert await done(api, "projects", "get", made["id"]) == patched
    refused = await run(api, "projects", "delete", "web", "--url", api.url)
    assert (refused.code, refused.out) == (2, "")
    assert f"`tenantry projects delete web --url {api.url} --yes`" in refused.err
    preview = await done(api, "projects", "delete", "web", "--dry-run")
    assert preview["id"] == made["id"]
    assert "api_keys" in preview["would_delete"]
    gone = await done(api, "projects", "delete", "web", "--yes")
    assert gone == {"id": made["id"], "deleted": True}
    missing = await run(api, "projects", "get", "web")
    assert (missing.code, missing.out) == (1, "")
    assert "there is no project with the slug web" in missing.err


async def test_people_are_named_by_their_address(api: Api) -> None:
    ada = await done(api, "users", "create", "--email=Ada@Example.com", "--email-verified")
    assert ada["email_verified"] is True
    assert (await done(api, "users", "suspend", "ada@example.com"))["status"] == "suspended"
    assert (await done(api, "users", "resume", ada["id"]))["status"] == "active"
    await done(api, "organizations", "create", "--name=Acme", f"--owner-id={ada['id']}")
    (member,) = (await done(api, "members", "list", "acme"))["members"]
    assert (member["user_id"], member["role"]) == (ada["id"], "owner")
    last = await run(api, "members", "remove", "acme", "ada@example.com", "--yes", "--json")
    assert (last.code, last.error["code"]) == (1, "last_owner")
    assert (await done(api, "sessions", "list", "ada@example.com"))["sessions"] == []


async def test_a_key_is_made_rotated_verified_and_revoked(api: Api) -> None:
    await done(api, "projects", "create", "--name=Web")
    key = await done(api, "keys", "create", "web", "--name=ci", "--scopes=users:read")
    rotated = await done(api, "keys", "rotate", "web", key["id"], "--overlap=60")
    verdict = await done(api, "keys", "verify", f"--secret={rotated['secret']}")
    assert verdict["code"] == "valid"
    shown = await run(api, "keys", "create", "web", "--name=x", "--scopes=users:read")
    assert "Keep the secret" in shown.err
    assert "tnt_" in shown.out
    assert (await done(api, "keys", "revoke", "web", key["id"], "--yes"))["revoked"] is True


async def test_a_body_comes_from_a_file_and_options_lie_on_top(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "user.json"
    file.write_text(json.dumps({"email": "ada@example.com", "name": "Ada", "metadata": {"a": 1}}))
    made = await done(api, "users", "create", f"--body={file}", "--name=Ada Lovelace")
    assert (made["name"], made["metadata"]) == ("Ada Lovelace", {"a": 1})


async def test_lists_are_filtered_sorted_and_taken_whole(api: Api) -> None:
    for name in ("Cees", "Ann", "Bob"):
        await done(api, "organizations", "create", f"--name={name}")
    sorted_ = await run(api, "organizations", "list", "--sort=-name", "-o", "yaml")
    names = [each["name"] for each in YAML(typ="safe").load(sorted_.out)["organizations"]]
    assert names == ["Cees", "Bob", "Ann"]
    some = await run(api, "organizations", "list", "--q=ann", "-o", "name")
    assert re.fullmatch(r"org_\w+\n", some.out), some.out
    first = await run(api, "organizations", "list", "--limit=1", "-o", "name")
    assert first.out.count("\n") == 1
    assert "1 of 3" in first.err
    everything = await run(api, "organizations", "list", "--all", "-o", "name")
    assert everything.out.count("\n") == 3


async def test_any_request_can_be_sent(api: Api) -> None:
    sent = await run(api, "api", "POST", "/v1/admin/users", "-f", "email=ada@example.com")
    assert sent.json["email"] == "ada@example.com"
    listed = await run(api, "api", "GET", "/v1/admin/users?limit=1")
    assert listed.json["pagination"]["total"] == 1
    refused = await run(api, "api", "get", "/v1/admin/users?limt=1")
    assert (refused.code, refused.out) == (1, "")
    assert "limt" in refused.err


async def test_a_trail_is_proved(api: Api) -> None:
    proof = await done(api, "audit", "prove")
    assert (proof["valid"], proof["next_after"]) == (True, None)


async def test_a_problem_names_the_field_and_where_help_is(api: Api) -> None:
    ran = await run(api, "webhooks", "create", "--url=https://x.example", "--events=nonsense")
    assert (ran.code, ran.out) == (1, "")
    assert "events" in ran.err
    assert "`tenantry webhooks create --help`" in ran.err
    missing = await run(api, "users", "create")
    assert (missing.code, "--email is missing" in missing.err) == (2, True)


HOSTILE = "Ada\u202e gro.live\u2066"


async def test_no_name_controls_the_terminal(api: Api, stack: Stack) -> None:
    """Names of older releases may have such characters; metadata may have any."""
    body = {"email": "ada@example.com", "metadata": {"note": f"{HOSTILE}\x1b[2J\x9b2J"}}
    made = await api("POST", "/v1/admin/users", body)
    for format_ in ("table", "json", "yaml"):
        ran = await run(api, "users", "get", "ada@example.com", "-o", format_)
        assert ran.code == 0, ran.err
        assert not set("\u202e\u2066\x1b\x9b") & set(ran.out), format_
    as_json = await done(api, "users", "get", "ada@example.com")
    assert as_json["metadata"] == made.body["metadata"]
    as_yaml = await run(api, "users", "get", "ada@example.com", "-o", "yaml")
    assert YAML(typ="safe").load(as_yaml.out)["metadata"] == made.body["metadata"]
    wrong = await run(api, "users", "get", f"x{HOSTILE}\x1b[2J@example.com")
    assert wrong.code == 1
    assert not set("\u202e\u2066\x1b") & set(wrong.err)


def in_terminal(answer: str, *arguments: str, **environment: str) -> tuple[int, str]:
    """The exit code and what a terminal shows, to which `answer` is typed."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        (sys.executable, "-m", "tenantry", *arguments),
        stdin=child, stdout=child, stderr=child, env={**os.environ, **environment},
    )  # fmt: skip
    os.close(child)
    os.write(parent, answer.encode())
    shown = b""
    while True:
        try:
            block = os.read(parent, 4096)
        except OSError:  # EIO: the other end is closed
            break
        if not block:
            break
        shown += block
    os.close(parent)
    return process.wait(30), shown.decode()


async def test_a_terminal_is_asked_with_what_a_deletion_takes_along(api: Api) -> None:
    await done(api, "projects", "create", "--name=Web")
    await done(api, "keys", "create", "web", "--name=ci", "--scopes=users:read")
    hostile = await asyncio.to_thread(
        in_terminal, "n\n", "keys", "revoke", "web", f"key_{HOSTILE}\x1b[2J",
        TENANTRY_URL=api.url, TENANTRY_API_KEY=str(api.key),
    )  # fmt: skip
    assert not set("\u202e\u2066\x1b") & set(hostile[1])
    own = {"TENANTRY_URL": api.url, "TENANTRY_API_KEY": str(api.key)}
    arguments = ("projects", "delete", "web")
    code, shown = await asyncio.to_thread(in_terminal, "n\n", *arguments, **own)
    assert code == 1
    assert "1 api keys" in shown
    assert api.url in shown
    assert (await done(api, "projects", "get", "web"))["slug"] == "web"
    code, shown = await asyncio.to_thread(in_terminal, "y\n", *arguments, **own)
    assert code == 0, shown
    assert (await run(api, "projects", "get", "web")).code == 1


@pytest.fixture
def profiles(tmp_path: Path) -> dict[str, str]:
    return {"TENANTRY_PROFILES": str(tmp_path / "own" / "profiles.json")}


def log_in(key: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "tenantry", "login", *arguments),
        input=key, text=True, capture_output=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


async def test_a_profile_is_kept_for_its_owner_alone(
    api: Api, operator: Api, profiles: dict[str, str]
) -> None:
    wrong = await asyncio.to_thread(log_in, "nonsense", "--url", api.url, **profiles)
    assert wrong.returncode == 1
    file = Path(profiles["TENANTRY_PROFILES"])
    assert not await asyncio.to_thread(file.exists)
    for key in (str(api.key), str(operator.key)):
        kept = await asyncio.to_thread(log_in, key, **profiles, TENANTRY_URL=api.url)
        assert (kept.returncode, kept.stderr) == (0, "")
        assert key not in kept.stdout
    kept_file = await asyncio.to_thread(file.stat)
    assert kept_file.st_mode & 0o777 == 0o600
    listed = await tenantry("tenants", "whoami", "--json", **profiles)
    assert listed.json["tenant"]["id"] == api.tenant
    tenants = await tenantry("tenants", "list", "--json", "--profile=default", **profiles)
    assert tenants.json["total"] >= 1
    shown = await tenantry("profiles", **profiles)
    assert api.url in shown.out
    assert str(api.key) not in shown.out
    other = await tenantry("tenants", "whoami", "--url=http://localhost:1", **profiles)
    assert other.code == 2, "the key of a profile goes to its own address only"
    await asyncio.to_thread(file.chmod, 0o640)
    refused = await tenantry("tenants", "whoami", **profiles)
    assert (refused.code, refused.out) == (2, "")
    assert f"chmod 600 {file}" in refused.err
    await asyncio.to_thread(file.chmod, 0o600)
    assert (await tenantry("logout", **profiles)).code == 0
    unknown = await tenantry("tenants", "whoami", "--profile=default", **profiles)
    assert (unknown.code, "tenantry login" in unknown.err) == (2, True)


async def test_old_forms_work_and_say_how_they_are_written_now(
    api: Api, stack: Stack, operator: Api
) -> None:
    slug = f"t-{uuid4().hex}"
    made = await tenantry(
        *("tenant", "create", "--slug", slug, "Acme", "--json", "--url", stack.url),
        TENANTRY_OPERATOR_KEY=str(operator.key),
    )
    assert (made.code, made.json["tenant"]["slug"]) == (0, slug), made.err
    assert f"tenantry tenants create --slug {slug} --name Acme" in made.err
    await done(api, "projects", "create", "--name=Web")
    key = await run(
        api, "keys", "create", "web", "--name=x", "--scope=users:read", "--expires", "90d", "--json"
    )
    assert (key.code, "--scopes=users:read --expires-at 90d" in key.err) == (0, True), key.err
    refused = await run(api, "tenant", "list", "--json", TENANTRY_OPERATOR_KEY="wrong")
    assert refused.error["code"] == "unauthenticated"
    revoked = await run(api, "keys", "revoke", "web", key.json["id"])
    assert (revoked.code, "needs --yes" in revoked.err) == (0, True)


async def test_version_help_and_completion_are_where_people_look() -> None:
    assert re.fullmatch(r"tenantry \d+\.\d+\.\d+\n", (await tenantry("--version")).out)
    short, long = await tenantry("users", "list", "-h"), await tenantry("users", "list", "--help")
    assert short.out == long.out
    assert "--sort" in short.out
    begins = {"bash": "_tenantry_completion() {", "zsh": "#compdef tenantry", "fish": "complete "}
    for shell, first in begins.items():
        ran = await tenantry("completion", shell)
        assert (ran.code, ran.out.lstrip().startswith(first)) == (0, True), ran.out


@pytest.mark.alone
async def test_help_and_lists_do_not_keep_people_waiting(api: Api) -> None:
    """Processor time of the fastest of some, by that of the imports alone: neither what a machine
    does besides is counted, nor how fast it is.
    """
    own = {"TENANTRY_URL": api.url, "TENANTRY_API_KEY": str(api.key)}

    def seconds(*arguments: str) -> float:
        argv = (sys.executable, *arguments)
        to_nowhere = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
        pid = os.posix_spawn(argv[0], argv, {**os.environ, **own}, file_actions=to_nowhere)
        _, status, usage = os.wait4(pid, 0)
        assert status == 0
        return usage.ru_utime + usage.ru_stime

    def fastest(*arguments: str) -> float:
        return min(seconds(*arguments) for _ in range(4))

    imports = await asyncio.to_thread(fastest, "-c", IMPORTS)
    command = ("-m", "tenantry")
    assert await asyncio.to_thread(fastest, *command, "--help") < HELP_TIMES * imports
    assert await asyncio.to_thread(fastest, *command, "users", "list") < LIST_TIMES * imports
