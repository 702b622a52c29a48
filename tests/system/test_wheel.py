"""The wheel as images get it: it runs with what is pinned for it, without the source."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import pytest
from aiohttp import ClientSession
from packaging.requirements import Requirement
from support.api import Api
from support.stack import START_LIMIT, STOP_LIMIT
from tenantry.data_folder.running import find_running
from tenantry.data_folder.secrets import load_or_create

ROOT = Path(__file__).parents[2]
COPIED = re.compile(r"^COPY (?!--)(.+) (\S+)$", re.MULTILINE)
PINNED = re.compile(r"^[a-z].*?(?= \\$)", re.MULTILINE)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, in an environment of the wheel and what runs."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = build(copy_of_source(folder / "source"), folder)
    environment = folder / "environment"
    venv.create(environment, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    for name in names_of_what_runs():
        link(metadata.distribution(name), packages)
    pip("--python", str(environment), "install", "--no-index", "--no-deps", str(wheel))
    pip("--python", str(environment), "check")
    return environment / "bin" / "tenantry"


async def test_the_product_runs_in_an_empty_folder(program: Path, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(program, "dev", "--port=0"),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_LIMIT):
            printed = (await process.stdout.readuntil(b"Tenantry is ready.")).decode()
        data = tmp_path / ".tenantry"
        running = find_running(data)
        assert running is not None
        key = load_or_create(data / "secrets.json").demo.api_key
        async with ClientSession() as http:
            answer = await Api(http, running.url, key)("GET", "/v1/admin/tenant")
        assert (answer.status, answer.body["tenant"]["slug"]) == (200, "demo"), printed
    finally:
        process.terminate()
        async with asyncio.timeout(STOP_LIMIT):
            await process.communicate()
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == [tmp_path / ".tenantry"]  # noqa: ASYNC240 - one entry


def test_it_says_who_may_use_it_and_on_what(program: Path) -> None:
    (packages,) = program.parents[1].glob("lib/python*/site-packages")
    (described,) = metadata.distributions(name="tenantry", path=[str(packages)])
    assert described.metadata["License-Expression"] == "Apache-2.0"
    assert "Apache License" in (described.read_text("licenses/LICENSE") or "")
    assert described.metadata["Requires-Python"] == ">=3.11"


def copy_of_source(folder: Path) -> Path:
    """What the build stage of the Dockerfile copies, which .dockerignore must let through."""
    allowed = re.findall("^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    for sources, target in COPIED.findall((ROOT / "deploy" / "Dockerfile").read_text()):
        for source in sources.split():
            assert any(source == each or source.startswith(f"{each}/") for each in allowed), source
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, folder / target, ignore=ignored)
            else:
                (folder / target).mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, folder / target)
    return folder


def build(source: Path, folder: Path) -> Path:
    pip("wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", str(source))
    (wheel,) = folder.glob("*.whl")
    return wheel


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments], check=True, timeout=120)


def names_of_what_runs() -> set[str]:
    pinned = map(Requirement, PINNED.findall((ROOT / "requirements" / "run.txt").read_text()))
    return {each.name for each in pinned if each.marker is None or each.marker.evaluate()}


def link(distribution: metadata.Distribution, packages: Path) -> None:
    """Its files as they lie in the environment of the tests: nothing is downloaded."""
    for file in distribution.files or ():
        source = Path(str(file.locate()))
        target = Path(os.path.normpath(packages / file))
        if source.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                target.hardlink_to(source.resolve())
            except OSError:  # another file system
                shutil.copy(source, target)
