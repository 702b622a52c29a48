"""The Kubernetes manifests: valid by the published schemas, hardened, and without a secret."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from contracts.topology import SERVICE_NAMES

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
FILES = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
VERSIONS = ("1.30.0", kubernetes_validate.latest_version())


def resources() -> Iterator[Any]:
    for path in FILES:
        for resource in yaml.safe_load_all(path.read_text()):
            yield pytest.param(resource, id=f"{resource['kind']}-{resource['metadata']['name']}")


def pods() -> Iterator[Any]:
    for each in resources():
        (resource,) = each.values
        if resource["kind"] in ("Deployment", "Job"):
            yield pytest.param(resource["spec"]["template"]["spec"], id=each.id)


@pytest.mark.parametrize("resource", list(resources()))
@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_valid_by_the_published_schema(resource: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(resource, version, strict=True)


@pytest.mark.parametrize("pod", list(pods()))
def test_it_runs_with_no_right_that_it_does_not_need(pod: dict[str, Any]) -> None:
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("pod", list(pods()))
def test_secrets_come_by_reference_alone(pod: dict[str, Any]) -> None:
    for container in pod["containers"]:
        named = {each["name"] for each in container.get("env", [])}
        assert named <= {"TENANTRY_DRAIN_SECONDS", "TENANTRY_CONSOLE_EDGE_URL"}
        (source,) = container["envFrom"]
        assert source["secretRef"]["name"] == f"tenantry-{container['name']}"


@pytest.mark.parametrize("name", ["edge", "console", *SERVICE_NAMES])
def test_each_process_is_probed_guarded_and_scaled(name: str) -> None:
    found = {
        each["kind"]: each for each in yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text())
    }
    assert {"Deployment", "PodDisruptionBudget", "HorizontalPodAutoscaler"} <= set(found)
    (container,) = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    paths = [container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe")]
    assert paths == ["/health/live"] * 2
    assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"


def policies() -> dict[str, Any]:
    texts = yaml.safe_load_all((FOLDER / "network.yaml").read_text())
    return {each["metadata"]["name"]: each["spec"] for each in texts}


@pytest.mark.parametrize("name", ["edge", "console"])
def test_metrics_are_where_callers_do_not_come(name: str) -> None:
    found = {
        each["kind"]: each for each in yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text())
    }
    template = found["Deployment"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    scraped = template["metadata"]["annotations"]["prometheus.io/port"]
    assert scraped == str(ports["management"])
    assert [each["targetPort"] for each in found["Service"]["spec"]["ports"]] == ["http"]
    assert policies()[name]["ingress"] == [{"ports": [{"port": ports["http"]}]}]
    (observed,) = policies()["all"]["ingress"]
    assert {"port": ports["management"]} in observed["ports"]
    assert "from" in observed


def test_the_console_reaches_the_edge_and_redis_alone() -> None:
    """No database, no NATS, not the internet; names and the collector of traces like all."""
    reached = {"console": [8080, 6379], "all": [53, 53, 4318]}
    for name, spec in policies().items():
        selector = spec["podSelector"]
        chosen = [*selector.get("matchLabels", {}).values()]
        chosen += [each for rule in selector.get("matchExpressions", ()) for each in rule["values"]]
        if not {"console", "tenantry"} & set(chosen):
            continue
        to = [port["port"] for rule in spec["egress"] for port in rule["ports"]]
        assert to == reached.pop(name)
    assert reached == {}
    to_edge, _ = policies()["console"]["egress"]
    assert to_edge["to"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "edge"}}}]


def test_the_kustomization_names_every_file() -> None:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    assert sorted(kustomization["resources"]) == [path.name for path in FILES]
