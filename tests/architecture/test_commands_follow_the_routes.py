"""Each route of the API is a command, by its own declaration: nobody writes one by hand."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import typer
from edge.call_route import CallRoute
from edge.routers import ROUTES
from tenantry.cli import app
from tenantry.cli.operations import FILE, Operation, load_operations

ROOT = Path(__file__).parents[2]
BY_HAND = {"import_users"}
"""It streams a file, which no option can be."""
NOUNS = [
    "tenants",
    "projects",
    "keys",
    "signing-keys",
    "users",
    "sessions",
    "organizations",
    "members",
    "invitations",
    "webhooks",
    "deliveries",
    "events",
    "audit",
]


@pytest.fixture(scope="module")
def renderer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("render", ROOT / "deploy/render_operations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def every_operation() -> list[Operation]:
    return [each for verbs in load_operations().values() for each in verbs.values()]


def test_the_file_is_what_the_routes_declare(renderer: ModuleType) -> None:
    assert FILE.read_text() == renderer.render(), "run `make commands`"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.label)
def test_a_route_is_a_command(route: CallRoute) -> None:
    if route.call.name not in BY_HAND:
        assert any(each.id == route.call.name for each in every_operation())


def test_no_two_operations_are_one_command(renderer: ModuleType) -> None:
    places = [(each["noun"], each["verb"]) for each in renderer.operations()]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("noun", NOUNS)
def test_every_resource_can_be_listed(noun: str) -> None:
    assert load_operations()[noun]["list"].items is not None


def test_every_command_can_be_asked_for_help() -> None:
    root = typer.main.get_command(app)
    for noun, verbs in load_operations().items():
        group = root.get_command(None, noun)  # type: ignore[attr-defined]
        for verb in verbs:
            context = group.get_command(None, verb).make_context(verb, [], resilient_parsing=True)
            text = context.get_help()
            assert "--json" in text, (noun, verb)
