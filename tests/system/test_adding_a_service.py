"""docs/adding-a-service.md, tried: a copy of the project gets the service of that page."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession
from support.api import Api
from support.stack import running_stack
from support.waiting import until

ROOT = Path(__file__).parents[2]
FLAGS = re.MULTILINE | re.DOTALL
PAGE = ROOT / "docs" / "adding-a-service.md"
FOLDERS = ("libs", "services", "deploy")
IMPORTED = ("libs", "libs/client", "services", "deploy")
TOPOLOGY = "libs/contracts/topology.py"


def files() -> dict[str, str]:
    """The files that the page shows, by their path."""
    found = re.findall(r'^```python title="(.+?)"\n(.*?)^```', PAGE.read_text(), FLAGS)
    return dict(found)


def insert(file: Path, before: str, text: str) -> None:
    old = file.read_text()
    assert before in old
    file.write_text(old.replace(before, text + before))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which steps 1 to 3 of the page are done."""
    folder = tmp_path_factory.mktemp("project")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("docker-compose.yml", "pyproject.toml", "docs/architecture.md"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shown = files()
    insert(folder / TOPOLOGY, ")\nSERVICE_NAMES", shown.pop(TOPOLOGY))
    for name, text in shown.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    service = folder / "services" / "signups"
    (service / "__init__.py").touch()
    shutil.copy(ROOT / "services/identity/migrations/script.py.mako", service / "migrations")
    (service / "migrations" / "versions").mkdir()
    for indent in ("    ", "        "):
        insert(
            folder / "libs/contracts/catalogue.py", f"\n{indent}tenants,\n", f"\n{indent}signups,"
        )
    routers = folder / "services/edge/routers/__init__.py"
    routers.write_text(
        routers.read_text()
        .replace("    audit,\n", "    audit,\n    signups,\n", 1)
        .replace("        overview,\n", "        overview,\n        signups,\n")
    )
    return folder


def environment(project: Path) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(str(project / name) for name in IMPORTED)}


async def run(project: Path, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        cwd=project,
        env={**os.environ, **environment(project)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, output.decode()


@asynccontextmanager
async def running(project: Path, folder: Path) -> AsyncIterator[Api]:
    """The product with the new service, and a caller with the key of the demo tenant."""
    async with running_stack(folder, **environment(project)) as stack, ClientSession() as http:
        yield Api(http, stack.url, stack.ready["api_key"])


async def test_the_service_of_the_page_runs_with_the_others(project: Path, tmp_path: Path) -> None:
    await run(project, "deploy/render_topology.py")
    assert "signups" in (project / "deploy/nats/nats.conf").read_text()
    assert "  signups:" in (project / "deploy/helm/tenantry/values.yaml").read_text()
    await run(project, "-m", "tenantry", "draft-migration", "signups", "initial")
    async with running(project, tmp_path) as api:
        health = await api("GET", "/health")
        assert health.body["checks"]["signups"]["status"] == "ok"
        for number in range(3):
            body = {"email": f"user{number}@example.com"}
            assert (await api("POST", "/v1/admin/users", body)).status == 201

        async def count() -> bool:
            return (await api("GET", "/v1/admin/signups")).body == {"count": 3}

        await until(count)
