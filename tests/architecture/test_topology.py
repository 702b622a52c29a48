"""The topology is the one place that names services, subjects, rights and locks."""

import ast
import runpy
from pathlib import Path

import pytest
from contracts.catalogue import CALLS
from contracts.events import EVENT_TYPES
from contracts.lifecycle import LIFECYCLE_TYPES
from contracts.topology import SERVICE_NAMES, SERVICES, Lock

ROOT = Path(__file__).parents[2]
RENDER = runpy.run_path(str(ROOT / "deploy" / "render_topology.py"))
RENDERED = RENDER["render"](ROOT)
SOURCES = [*(ROOT / "libs").rglob("*.py"), *(ROOT / "services").rglob("*.py")]


@pytest.mark.parametrize("path", RENDERED, ids=lambda path: path.name)
def test_the_configuration_is_what_the_topology_says(path: Path) -> None:
    assert path.read_text() == RENDERED[path], "run `make topology`, and commit what it wrote"


def test_every_region_is_in_some_file() -> None:
    text = "".join(RENDERED.values())
    assert [name for name in RENDER["REGIONS"] if f"<topology {name}>" not in text] == []


def test_each_service_has_a_folder_and_each_folder_a_service() -> None:
    folders = {path.name for path in (ROOT / "services").iterdir() if (path / "app.py").exists()}
    assert folders == {*SERVICE_NAMES, "edge", "console"}


def test_services_call_only_what_exists() -> None:
    known = {f"{call.service}.{call.name}" for call in CALLS}
    assert [call for each in SERVICES for call in each.calls if call not in known] == []


def test_only_services_publish_events_and_messages() -> None:
    owners = {kind.service for kind in EVENT_TYPES.values()}
    owners |= {service for kind in LIFECYCLE_TYPES.values() for service in kind.services}
    owners |= {call.service for call in CALLS}
    assert owners <= set(SERVICE_NAMES)


def test_no_lock_is_taken_by_a_number_of_its_own() -> None:
    """A number that two modules choose for themselves would be one lock."""
    numbers = {int(lock) for lock in Lock}
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        if path.name != "topology.py" and "migrations" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in numbers
    ]
    assert found == []
