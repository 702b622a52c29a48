"""The tools of others, as `make sdk-test` installs them, and the documents that they read.

Everything is kept outside of the repository: packages in the user's cache, the rest in pytest's
folder. A test whose tools are not there is skipped, and says that nothing was run.
"""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from chassis.health import Health
from edge import asyncapi
from edge.app import make_app
from support.tools import cache_folder, run, skip_without_tools

HERE = Path(__file__).parent
CACHE = cache_folder("sdk-test")
GENERATOR = "org.openapitools:openapi-generator-cli:7.25.0"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
JAVA = ("java", "javac", "mvn")
NODE = ("node", "npm")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip_without_tools(items, HERE, "sdk-test")


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
