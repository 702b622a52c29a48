"""The chart as a real `helm` renders it, and what Prometheus' own tool makes of the rules.

`make chart-test` runs it: the first time it builds both tools, which takes minutes, and fetches the
schemas of resources that are no part of Kubernetes; for both it needs Go and its module proxy.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.tools import cache_folder, run, skip_without_tools

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CHART = ROOT / "deploy" / "helm" / "tenantry"
VALUES = sorted((ROOT / "deploy" / "helm" / "values").glob("*.yaml"))
CACHE = cache_folder("chart-test")
HELM = "helm.sh/helm/v4/cmd/helm@v4.3.1"
PROMTOOL = "github.com/prometheus/prometheus/cmd/promtool@v0.316.0"
CRDS = {
    "sigs.k8s.io/gateway-api@v1.6.3": (
        "config/crd/standard/gateway.networking.k8s.io_gateways.yaml",
        "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
    ),
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ),
}
"""Modules of Go, and the definitions of resources in each that the chart makes."""
BUILD_SECONDS = 2400
Resource = dict[str, Any]
Schemas = dict[tuple[str, str], dict[str, Any]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip_without_tools(items, HERE, "chart-test")


def build(module: str) -> Path:
    """The program of a module, built once for each version."""
    path, _, version = module.partition("@")
    folder = CACHE / version
    program = folder / path.rpartition("/")[2]
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        environment = {"GOBIN": str(folder), "GOFLAGS": "-mod=mod"}
        run("go", "install", module, cwd=folder, seconds=BUILD_SECONDS, **environment)
    return program


@dataclass(frozen=True)
class Helm:
    program: Path

    def __call__(self, *arguments: str | Path) -> str:
        return run(self.program, *arguments, cwd=CHART, HELM_CACHE_HOME=str(CACHE / "helm"))

    def render(self, *arguments: str | Path) -> list[Resource]:
        """The resources of a release `tenantry` in a namespace of that name."""
        text = self("template", "tenantry", CHART, "--namespace", "tenantry", *arguments)
        return [each for each in yaml.safe_load_all(text) if each]


@pytest.fixture(scope="session")
def helm() -> Helm:
    return Helm(build(HELM))


@pytest.fixture(scope="session")
def promtool() -> Path:
    return build(PROMTOOL)


@dataclass(frozen=True)
class Rendered:
    """The values that a release has, and the resources that the chart makes of them."""

    values: dict[str, Any]
    resources: list[Resource]

    def of_kind(self, *kinds: str) -> list[Resource]:
        return [each for each in self.resources if each["kind"] in kinds]

    def pods(self) -> dict[str, Resource]:
        """The templates of pods, by component."""
        found = {}
        for each in self.of_kind("Deployment", "Job", "CronJob"):
            spec = each["spec"].get("jobTemplate", each)["spec"]
            found[component(each)] = spec["template"]
        return found

    def containers(self) -> dict[str, Resource]:
        found = {name: pod["spec"]["containers"] for name, pod in self.pods().items()}
        return {name: container for name, (container,) in found.items()}

    def selected(self, selector: Resource) -> list[str]:
        """The components whose pods a selector selects."""
        labels = {name: pod["metadata"]["labels"] for name, pod in self.pods().items()}
        return [name for name in labels if _selects(selector, labels[name])]

    def rules(self, name: str, direction: str) -> list[Resource]:
        """What the network policies let in to a component (`ingress`) or out of it (`egress`)."""
        policies = [each["spec"] for each in self.of_kind("NetworkPolicy")]
        mine = [each for each in policies if name in self.selected(each["podSelector"])]
        assert any(direction.title() in each["policyTypes"] for each in mine)
        return [rule for each in mine for rule in each.get(direction, ())]


def component(resource: Resource) -> str:
    name: str = resource["metadata"]["labels"].get("app.kubernetes.io/component", "")
    return name


def _selects(selector: Resource, labels: dict[str, str]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        each["operator"] == "In" and labels.get(each["key"]) in each["values"]
        for each in selector.get("matchExpressions", ())
    )


@pytest.fixture(scope="session", params=[None, *VALUES], ids=lambda path: path and path.stem)
def rendered(helm: Helm, request: pytest.FixtureRequest) -> Rendered:
    """With the values of the chart alone, and with those of each file over them."""
    values, file = read(CHART / "values.yaml"), request.param
    arguments = ("--values", file) if file else ()
    return Rendered(merge(values, read(file) if file else {}), helm.render(*arguments))


@pytest.fixture(scope="session")
def crds() -> Schemas:
    """By API version and kind, the schema that refuses fields it does not know."""
    return dict(_crds())


def _crds() -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    for module, files in CRDS.items():
        folder = json.loads(run("go", "mod", "download", "-json", module, cwd=HERE))["Dir"]
        for file in files:
            spec = read(Path(folder, file))["spec"]
            for version in spec["versions"]:
                schema = version["schema"]["openAPIV3Schema"]
                schema["properties"]["metadata"] = {"type": "object"}
                name = f"{spec['group']}/{version['name']}"
                yield (name, spec["names"]["kind"]), _strict(schema)


def _strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _strict(each) for name, each in schema.items()}
    if isinstance(schema.get("properties"), dict) and "type" in schema:
        closed.setdefault("additionalProperties", False)
    return closed


def read(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def merge(below: Any, above: Any) -> Any:
    """As Helm merges values: by key."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    shared = {name: merge(below[name], above[name]) for name in below.keys() & above.keys()}
    return below | above | shared
