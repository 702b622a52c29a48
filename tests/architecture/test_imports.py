"""No circles: files import each other in one direction only."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("libs", "libs/client", "services", "deploy", "tests")


def _modules(folder: Path) -> dict[str, Path]:
    found = {}
    for path in folder.rglob("*.py"):
        parts = path.relative_to(folder).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _imports(path: Path, modules: dict[str, Path]) -> Iterator[str]:
    """The modules that a file imports when it is imported itself."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                name = whole if whole in modules else node.module
                if name in modules:
                    yield name


@pytest.mark.parametrize("folder", FOLDERS)
def test_files_import_each_other_in_one_direction(folder: str) -> None:
    modules = _modules(ROOT / folder)
    graph = {name: set(_imports(path, modules)) - {name} for name, path in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_the_console_loads_no_driver_of_what_it_must_not_reach() -> None:
    """Neither itself nor by a library of ours: what is not loaded costs no memory either."""
    show = "import sys, console.app; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", show], capture_output=True, text=True, check=True
    )
    drivers = {"asyncpg", "sqlalchemy", "sqlmodel", "alembic", "nats", "faststream", "aiohttp"}
    assert drivers & set(loaded.stdout.split()) == set()
