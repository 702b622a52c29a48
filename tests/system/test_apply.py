"""`tenantry apply` and `export`: a tenant has what git says; nothing is lost or done twice."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from support.api import Api
from support.stack import Ran, Stack, tenantry
from support.waiting import until
from tenantry.access import Access
from tenantry.cli.output import to_yaml
from tenantry.configuration.apply import Applier, finish_interrupted
from tenantry.configuration.file import read_configuration
from tenantry.configuration.plan import make_plan
from tenantry.configuration.secrets_file import open_secrets_file
from tenantry.configuration.state import PATHS, export_state, read_state
from tenantry.connection import Api as CommandApi

FILE = """\
tenantry: 1
projects:
  - slug: web
    name: Web
    environment: production
    allowed_origins: [https://app.acme.com]
    settings:
      mfa: off
    api_keys:
      - name: ci
        scopes: [users:read]
      - name: browser
        type: publishable
organizations:
  - slug: acme
    name: Acme
    max_members: 10
    metadata:
      plan: enterprise
webhooks:
  - url: https://hooks.acme.com/in
    events: [user.*]
    status: disabled
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "tenant.yaml"
    file.write_text(FILE)
    return file


def environment(api: Api) -> dict[str, str]:
    return {"TENANTRY_URL": api.url, "TENANTRY_API_KEY": str(api.key)}


async def applied(api: Api, file: Path, *arguments: str) -> Ran:
    secrets = f"--secrets={file.parent / 'secrets.json'}"
    return await tenantry("apply", "-f", str(file), secrets, *arguments, **environment(api))


def write(file: Path, text: str) -> None:
    file.write_text(text)


async def exported(api: Api) -> dict[str, Any]:
    ran = await tenantry("export", **environment(api))
    assert ran.code == 0, ran.err
    content: dict[str, Any] = YAML(typ="safe", pure=True).load(ran.out)
    return content


async def test_the_plan_comes_first_and_a_second_run_changes_nothing(api: Api, file: Path) -> None:
    plan = await applied(api, file, "--dry-run")
    assert plan.code == 2, plan.err
    assert "+ project web" in plan.out
    assert "settings.mfa" in plan.out or "settings:" in plan.out
    assert (await exported(api))["projects"] == []
    without = await tenantry("apply", "-f", str(file), **environment(api))
    assert (without.code, "--secrets" in without.err) == (2, True)
    assert (await exported(api))["projects"] == []
    done = await applied(api, file)
    assert done.code == 0, done.err
    before = (await api("GET", "/v1/admin/projects")).body
    again = await applied(api, file)
    assert (again.code, "Nothing to do" in again.out) == (0, True), again.out
    assert (await applied(api, file, "--dry-run")).code == 0
    assert (await api("GET", "/v1/admin/projects")).body == before
    kept = file.parent / "secrets.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    content = json.loads(kept.read_text())
    assert content["unfinished"] == {}
    assert content["secrets"].keys() == {"web.ci", "web.browser", "https-hooks.acme.com-in"}
    ci = api.as_key(content["secrets"]["web.ci"])
    assert (await ci("GET", "/v1/admin/users")).status == 200
    (webhook,) = (await api("GET", "/v1/admin/webhooks")).body["webhooks"]
    assert webhook["status"] == "disabled"
    for secret in content["secrets"].values():
        assert secret not in done.out + done.err


async def test_drift_is_shown_and_mended(api: Api, file: Path) -> None:
    assert (await applied(api, file)).code == 0
    (project,) = (await api("GET", "/v1/admin/projects")).body["projects"]
    path = f"/v1/admin/projects/{project['id']}"
    await api("PATCH", path, {"settings": {"mfa": "required"}, "metadata": {"by": "hand"}})
    plan = await applied(api, file, "--dry-run", "--json")
    assert plan.code == 2, plan.err
    (change,) = plan.json["changes"]
    assert (change["action"], change["name"]) == ("update", "web")
    assert change["fields"] == {"settings.mfa": {"from": "required", "to": "off"}}
    assert (await applied(api, file)).code == 0
    mended = (await api("GET", path)).body
    assert (mended["settings"]["mfa"], mended["metadata"]) == ("off", {"by": "hand"})


async def test_nothing_is_deleted_without_prune(api: Api, file: Path) -> None:
    assert (await applied(api, file)).code == 0
    write(file, FILE.partition("      - name: browser")[0] + "organizations: []\n")
    kept = await applied(api, file)
    assert kept.code == 0, kept.err
    assert "? organization acme is in no file: --prune deletes it" in kept.out
    assert len((await exported(api))["organizations"]) == 1
    refused = await applied(api, file, "--prune")
    assert (refused.code, "--yes" in refused.err) == (2, True)
    assert len((await exported(api))["organizations"]) == 1
    pruned = await applied(api, file, "--prune", "--yes")
    assert pruned.code == 0, pruned.err
    left = await exported(api)
    assert left["organizations"] == []
    assert [each["name"] for each in left["projects"][0]["api_keys"]] == ["ci"]
    assert len(left["webhooks"]) == 1, "a list that no file has is left alone"


async def test_a_key_that_differs_is_replaced_by_another(api: Api, file: Path) -> None:
    assert (await applied(api, file)).code == 0
    old = json.loads((file.parent / "secrets.json").read_text())["secrets"]["web.ci"]
    write(file, FILE.replace("[users:read]", "[webhooks:read]"))
    shown = await applied(api, file)
    assert (shown.code, "--prune replaces it" in shown.out) == (1, True), shown.err
    assert (await api.as_key(old)("GET", "/v1/admin/users")).status == 200
    replaced = await applied(api, file, "--prune", "--yes")
    assert replaced.code == 0, replaced.err
    new = json.loads((file.parent / "secrets.json").read_text())["secrets"]["web.ci.2"]
    assert (await api.as_key(old)("GET", "/v1/admin/users")).status == 401
    assert (await api.as_key(new)("GET", "/v1/admin/webhooks")).status == 200
    assert (await applied(api, file, "--dry-run")).code == 0


async def test_a_faulty_file_applies_nothing(api: Api, file: Path) -> None:
    write(file, FILE.replace("max_members: 10", "max_members: many"))
    for arguments in ((), ("--dry-run",)):
        ran = await applied(api, file, *arguments)
        assert (ran.code, ran.out) == (1, "")
        assert f"{file}:17:5: organizations[0].max_members:" in ran.err
    assert (await exported(api))["projects"] == []


async def test_who_is_killed_goes_on_and_keeps_every_secret(api: Api, tmp_path: Path) -> None:
    """Killed again and again, at whatever line it was."""
    keys = "".join(f"\n      - name: k{at}\n        scopes: ['*']" for at in range(12))
    file = tmp_path / "many.yaml"
    file.write_text(f"tenantry: 1\nprojects:\n  - slug: web\n    name: Web\n    api_keys:{keys}\n")
    secrets = tmp_path / "secrets.json"
    argv = ("apply", "-f", str(file), f"--secrets={secrets}")

    def kept() -> int:
        return len(json.loads(secrets.read_text())["secrets"]) if secrets.exists() else 0

    for wanted in (1, 4, 8):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tenantry", *argv),
            env={**os.environ, **environment(api)},
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

        async def enough(wanted: int = wanted) -> bool:
            return kept() >= wanted

        await until(enough, 60)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    ended = await tenantry(*argv, **environment(api))
    assert ended.code == 0, ended.err
    (project,) = (await exported(api))["projects"]
    assert [each["name"] for each in project["api_keys"]] == sorted(f"k{at}" for at in range(12))
    content = json.loads(secrets.read_text())
    assert (len(content["secrets"]), content["unfinished"]) == (12, {})
    for secret in content["secrets"].values():
        assert (await api.as_key(secret)("GET", "/v1/admin/users")).status == 200


async def test_an_answer_that_was_not_kept_is_asked_for_again(api: Api, tmp_path: Path) -> None:
    """As if the process had ended between the answer and the file."""
    project = await api("POST", "/v1/admin/projects", {"name": "Web"})
    path = f"/v1/admin/projects/{project.body['id']}/api-keys"
    noted = open_secrets_file(tmp_path / "secrets.json", "kubernetes")
    request = noted.begin("web.ci", path, {"name": "ci", "scopes": ["users:read"]})
    key = request.idempotency_key

    def create() -> str:
        with CommandApi(Access(api.url, api.key)) as client:
            made = client("POST", path, None, request.body, Idempotency_Key=key)
            return str(made["secret"])

    secret = await asyncio.to_thread(create)

    def finish() -> int:
        found = open_secrets_file(tmp_path / "secrets.json", "kubernetes")
        with CommandApi(Access(api.url, api.key)) as client:
            return finish_interrupted(client, found)

    assert await asyncio.to_thread(finish) == 1
    manifest = json.loads((tmp_path / "secrets.json").read_text())
    assert (manifest["kind"], manifest["stringData"]) == ("Secret", {"web.ci": secret})
    assert manifest["metadata"]["annotations"] == {}
    assert await asyncio.to_thread(finish) == 0


NAMES = st.text("abcdefgh ÄÖß-.'\":#%&*!|>@", min_size=1, max_size=12).filter(str.strip)
SLUGS = st.from_regex(r"[a-z0-9]{1,6}(-[a-z0-9]{1,4})?", fullmatch=True) | st.sampled_from(
    ["off", "1e3", "007", "null", "true", "2026-01-01"]
)
INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([2**64, 1e22, 0.1, -0.0])
METADATA = st.dictionaries(
    st.text("abc:#-", min_size=1, max_size=4),
    INTEGERS | st.booleans() | st.text("ab:\n '\"#", max_size=6) | st.lists(INTEGERS, max_size=3),
    max_size=3,
)
KEYS = st.fixed_dictionaries({"name": NAMES, "scopes": st.just(["users:read", "audit:read"])})
PROJECTS = st.fixed_dictionaries(
    {
        "slug": SLUGS,
        "name": NAMES,
        "metadata": METADATA,
        "settings": st.fixed_dictionaries({"mfa": st.sampled_from(["off", "required"])}),
        "api_keys": st.lists(KEYS, max_size=2, unique_by=lambda each: each["name"].strip()),
    }
)
ORGANIZATIONS = st.fixed_dictionaries(
    {
        "slug": SLUGS,
        "name": NAMES,
        "settings": METADATA,
        "max_members": st.none() | st.integers(1, 9),
    }
)
WEBHOOKS = st.fixed_dictionaries(
    {
        "url": SLUGS.map(lambda slug: f"https://{slug}.example.com/in?a=#"[:-1]),
        "events": st.sampled_from([["*"], ["user.*", "project.created"]]),
        "status": st.sampled_from(["active", "disabled"]),
        "description": st.none() | NAMES,
    }
)
CONTENT = st.fixed_dictionaries(
    {
        "tenantry": st.just(1),
        "projects": st.lists(PROJECTS, max_size=2, unique_by=lambda each: each["slug"]),
        "organizations": st.lists(ORGANIZATIONS, max_size=2, unique_by=lambda each: each["slug"]),
        "webhooks": st.lists(WEBHOOKS, max_size=2, unique_by=lambda each: each["url"]),
    }
)


def apply_content(url: str, key: str, content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What an export says after it was applied to the tenant, and that nothing is left to do."""
    file = folder / "content.yaml"
    file.write_text(to_yaml(content), encoding="utf-8")
    wanted = read_configuration([str(file)])
    secrets = open_secrets_file(folder / "secrets.json", "json")
    with CommandApi(Access(url, key)) as client:
        state = read_state(client, tuple(PATHS), None)
        plan = make_plan(wanted, state, prune=True)
        Applier(client, {}, secrets, lambda _: None).run(plan)
        state = read_state(client, tuple(PATHS), None)
        left = make_plan(wanted, state, prune=True)
        assert [(change.label, change.fields) for change in left] == [], content
        return export_state(state)


async def test_an_export_applied_to_an_empty_tenant_is_the_same(
    stack: Stack, operator: Api, tmp_path: Path
) -> None:
    def new_key() -> str:
        with CommandApi(Access(stack.url, str(operator.key))) as commands:
            made = commands(
                "POST", "/v1/admin/tenants", None, {"name": "T", "slug": f"t-{uuid4().hex}"}
            )
            return str(made["api_key"]["secret"])

    # No shrinking: an example is two tenants, and a failure shows what was applied.
    @settings(
        max_examples=12, deadline=None, suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate), database=None,
    )  # fmt: skip
    @given(CONTENT)
    @example(
        {"tenantry": 1, "organizations": [{"slug": "a", "name": "A", "metadata": {"n": 2**64}}]}
    )
    def check(content: dict[str, Any]) -> None:
        one = apply_content(stack.url, new_key(), content, tmp_path)
        other = apply_content(stack.url, new_key(), one, tmp_path)
        assert other == one

    await asyncio.to_thread(check)
