"""The chart without helm: its values are those that its schema allows, and name what exists."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "tenantry"
FILES = sorted((ROOT / "deploy" / "helm" / "values").glob("*.yaml"))
VALIDATOR = Draft202012Validator(json.loads((CHART / "values.schema.json").read_text()))

SETTING = re.compile(r"\b(?:TENANTRY|OTEL)_[A-Z_]+")


def read(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def leaves(schema: Any, path: str = "") -> set[str]:
    """The paths of values that a schema describes."""
    if "$ref" in schema:
        below = leaves(VALIDATOR.schema["$defs"][schema["$ref"].rpartition("/")[2]], path)
    else:
        below = set()
    found = {f"{path}{name}" for name in schema.get("properties", {})}
    for name, each in schema.get("properties", {}).items():
        found |= leaves(each, f"{path}{name}.")
    return below | found


@pytest.mark.parametrize("file", [CHART / "values.yaml", *FILES], ids=lambda file: file.stem)
def test_values_are_those_of_the_schema(file: Path) -> None:
    VALIDATOR.validate(read(file))


@pytest.mark.parametrize(
    "wrong",
    [
        {"edge": {"replica": 2}},
        {"services": {"identiy": {}}},
        {"streams": {"replicas": 2}},
        {"image": {"digests": {"edge": "latest"}}},
        {"servers": {"redis": {"tls": {"ca": "x"}}}},
        {"defaults": {"env": {"lower": "x"}}},
    ],
    ids=str,
)
def test_others_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        VALIDATOR.validate(wrong)


def test_every_setting_that_it_names_is_documented() -> None:
    files = [*CHART.rglob("*.yaml"), *CHART.rglob("*.tpl"), *FILES]
    pages = [ROOT / "docs" / name for name in ("operating.md", "observability.md", "kubernetes.md")]
    named, documented = (
        set(SETTING.findall("".join(each.read_text() for each in group)))
        for group in (files, pages)
    )
    assert named
    assert named <= documented


def test_the_page_has_every_value() -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    names = {path.rpartition(".")[2] for path in leaves(VALIDATOR.schema)} - {
        *("global", "enabled", "labels", "ipBlock", "namespaceSelector", "podSelector", "claims"),
        *("requests", "limits", "minAvailable"),
    }
    assert [name for name in sorted(names) if not re.search(rf"`[\w.<>]*{name}\b", page)] == []


def test_the_images_that_it_names_are_those_that_make_builds() -> None:
    shown = subprocess.run(
        ["make", "--dry-run", "images"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    repository = read(CHART / "values.yaml")["image"]["repository"]
    version = read(CHART / "Chart.yaml")["appVersion"]
    assert f"--tag {repository}/$name:{version} " in shown
    (names,) = re.findall(r"for name in (.*); do", shown)
    values = read(CHART / "values.yaml")
    assert {"tenantry", "edge", "console", *values["services"]} == set(names.split())
