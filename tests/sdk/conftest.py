"""The tools of others, as `make sdk-test` installs them, and the documents that they read.

Everything is kept outside of the repository: packages in the user's cache, the rest in pytest's
folder. A test whose tools are not there is skipped, and says that nothing was run.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from chassis.health import Health
from edge import asyncapi
from edge.app import make_app

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tenantry" / "sdk-test"
GENERATOR = "org.openapitools:openapi-generator-cli:7.25.0"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
JAVA = ("java", "javac", "mvn")
NODE = ("node", "npm")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not item.path.is_relative_to(HERE):
            continue
        if "TENANTRY_SDK_TEST" not in os.environ:
            item.add_marker(pytest.mark.skip(reason="`make sdk-test` runs it"))
        for marker in item.iter_markers("tools"):
            missing = [each for each in marker.args if shutil.which(each) is None]
            if missing:
                reason = f"NOTHING WAS RUN: no {', '.join(missing)}"
                item.add_marker(pytest.mark.skip(reason=reason))


def run(*command: str | Path, cwd: Path, seconds: int = 600) -> str:
    """What the command says; it must succeed."""
    done = subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        env={**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-12_000:]
    return done.stdout


@pytest.fixture(scope="session")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `openapi.json` and `asyncapi.json`, as the edge sends them."""
    folder = tmp_path_factory.mktemp("documents")
    openapi = make_app(SimpleNamespace(), Health()).openapi()
    (folder / "openapi.json").write_text(json.dumps(openapi))
    (folder / "asyncapi.json").write_text(json.dumps(asyncapi.document()))
    return folder


@pytest.fixture(scope="session")
def packages() -> Path:
    """The folder with the installed packages of `package.json`, and the files beside it."""
    folder = CACHE / "npm"
    wanted = (HERE / "package.json").read_bytes()
    kept = folder / "installed.json"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "spectral.yaml", "parse_asyncapi.js"):
        shutil.copy(HERE / name, folder)
    if not kept.exists() or kept.read_bytes() != wanted:
        run("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", cwd=folder)
        kept.write_bytes(wanted)
    return folder


@pytest.fixture(scope="session")
def generator() -> Path:
    """The jar of openapi-generator: its package for npm wants a newer Node than the others."""
    _, name, version = GENERATOR.split(":")
    jar = CACHE / f"{name}-{version}.jar"
    if not jar.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        into = f"-DoutputDirectory={CACHE}"
        run("mvn", "--batch-mode", COPY, f"-Dartifact={GENERATOR}", into, cwd=CACHE)
    return jar
