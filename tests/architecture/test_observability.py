"""Alerts and dashboard speak of metrics that exist, and every alert has a run book."""

import json
import re
from pathlib import Path
from typing import Any

import chassis.telemetry
import pytest
import yaml
from prometheus_client import REGISTRY

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "observability"
NAME = re.compile(r"\btenantry_[a-z_]+")
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]


def exported() -> set[str]:
    """The names of the series that a process of ours shows."""
    assert chassis.telemetry
    names = set()
    for family in REGISTRY.collect():
        names |= {family.name, *(f"{family.name}_{end}" for end in ("total", "count", "bucket"))}
    return names


@pytest.mark.parametrize("file", ["alerts.yaml", "dashboard.json"])
def test_every_metric_that_is_named_exists(file: str) -> None:
    named = set(NAME.findall((FOLDER / file).read_text()))
    assert named
    assert named <= exported()


def test_nothing_depends_on_the_names_of_jobs() -> None:
    """They are the scraper's: all pods may have the same."""
    text = "".join((FOLDER / name).read_text() for name in ("alerts.yaml", "dashboard.json"))
    assert re.findall(r"\bjob *(?:=|!=).*", text) == []


def test_what_was_recorded_is_what_processes_show() -> None:
    """The recordings that the rules are tried with."""
    names = set()
    for file in (ROOT / "tests" / "chart" / "recordings").glob("*.json"):
        names |= {NAME.match(name) for _, name, _ in json.loads(file.read_text())["series"]}
    assert {found[0] for found in names if found} == set(
        NAME.findall((FOLDER / "alerts.yaml").read_text())
    )


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_every_alert_has_a_run_book(rule: dict[str, Any]) -> None:
    book = (ROOT / rule["annotations"]["runbook"]).read_text()
    assert book.startswith(f"# {rule['alert']}\n")


def test_every_run_book_has_an_alert() -> None:
    books = {f"docs/runbooks/{path.name}" for path in (ROOT / "docs" / "runbooks").glob("*.md")}
    assert books == {rule["annotations"]["runbook"] for rule in RULES}


def test_every_panel_asks_something() -> None:
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    assert all(target["expr"] for panel in panels for target in panel["targets"])
