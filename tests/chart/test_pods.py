"""What the chart renders: valid by the published schemas, hardened, and without a secret."""

import re

import kubernetes_validate
import pytest
from chart.conftest import CHART, Helm, Rendered, Schemas, component, read
from contracts.topology import SERVICE_NAMES
from jsonschema import Draft202012Validator

pytestmark = pytest.mark.tools("go")
VERSIONS = ("1.30.0", kubernetes_validate.latest_version())
PROCESSES = ("edge", "console", *SERVICE_NAMES)
BY_COMMAND = ("streams", "migrate", "backup")
SECRET = re.compile("KEYS?$|SEEDS$|PASSWORD|(NATS|REDIS|DATABASE|MIGRATION)_URL$")


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_valid_by_the_published_schemas(
    rendered: Rendered, crds: Schemas, version: str
) -> None:
    for each in rendered.resources:
        schema = crds.get((each["apiVersion"], each["kind"]))
        if schema is None:
            kubernetes_validate.validate(each, version, strict=True)
        else:
            Draft202012Validator(schema).validate(each)  # its patterns are Go's


def test_no_two_resources_have_the_same_name(rendered: Rendered) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in rendered.resources]
    assert len(names) == len(set(names))


def test_every_process_runs(rendered: Rendered) -> None:
    chosen = {name for name in ("console", "backup") if not rendered.values[name]["enabled"]}
    assert rendered.pods().keys() == {*PROCESSES, *BY_COMMAND} - chosen


def test_it_runs_with_no_right_that_it_does_not_need(rendered: Rendered) -> None:
    for pod in rendered.pods().values():
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        for container in pod["spec"]["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


def test_secrets_come_as_files_and_by_reference_alone(rendered: Rendered) -> None:
    assert rendered.of_kind("Secret") == []
    values = {**rendered.values, **rendered.values["services"]}
    for name, container in rendered.containers().items():
        env = {each["name"]: each.get("value") for each in container["env"]}
        assert list(filter(SECRET.search, env)) == []
        mounted = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
        assert env["TENANTRY_SECRETS_DIR"] == mounted["secrets"]
        volumes = {each["name"]: each for each in rendered.pods()[name]["spec"]["volumes"]}
        secret = volumes["secrets"]["secret"]["secretName"]
        assert secret == (values[name].get("secret") or f"tenantry-{name}")


def test_images_have_a_version_or_a_digest(rendered: Rendered) -> None:
    image, version = rendered.values["image"], read(CHART / "Chart.yaml")["appVersion"]
    for name, container in rendered.containers().items():
        process = "tenantry" if name in BY_COMMAND else name
        digest = image["digests"].get(process)
        wanted = f"{image['repository']}/{process}:{version}" + (f"@{digest}" if digest else "")
        assert container["image"] == wanted


def test_each_process_is_probed_guarded_and_scaled(rendered: Rendered) -> None:
    scaled = rendered.values["defaults"]["autoscaling"]["enabled"]
    for name in rendered.pods().keys() & set(PROCESSES):
        found = {each["kind"]: each for each in rendered.resources if component(each) == name}
        assert ("HorizontalPodAutoscaler" in found) is scaled
        assert ("replicas" in found["Deployment"]["spec"]) is not scaled
        assert found["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
        for kind in ("Deployment", "PodDisruptionBudget"):
            assert rendered.selected(found[kind]["spec"]["selector"]) == [name]
        spread = found["Deployment"]["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert [rendered.selected(each["labelSelector"]) for each in spread] == [[name]] * len(
            rendered.values["defaults"]["topologySpread"]
        )
        container = rendered.containers()[name]
        paths = [container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe")]
        assert paths == ["/health/live"] * 2
        assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"


def test_another_migration_has_another_name(helm: Helm) -> None:
    def name(*arguments: str) -> str:
        (job,) = Rendered({}, helm.render(*arguments)).of_kind("Job")
        found: str = job["metadata"]["name"]
        return found

    assert name() == name("--set", "edge.replicas=3")
    assert name() != name("--set", "image.tag=0.2.0")


def test_it_says_which_secrets_are_missing(helm: Helm) -> None:
    said = helm("install", "auth", CHART, "--dry-run=client", "--set", "edge.secret=mine")
    notes = said.partition("NOTES:")[2]
    for name in ("mine", "auth-tenantry-console", "auth-tenantry-streams", "auth-tenantry-migrate"):
        assert f"\n  {name}\n" in notes


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("services.identiy.replicas=2", "identiy"),
        ("edge.replica=2", "replica"),
        ("edge.replicas=none", "replicas"),
        ("services.audit.host=audit.example.com", "host"),
        ("image.digests.edge=latest", "digests"),
        ("exposure.kind=loadbalancer", "kind"),
        ("exposure.kind=ingress", "edge.host"),
        ("exposure.kind=gateway,edge.host=a.example.com", "className"),
        ("edge.env.lower=x", "env"),
        ("monitoring.scrape=both", "scrape"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(helm: Helm, wrong: str, named: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(named)):
        helm.render("--set", wrong)


def test_the_linter_finds_nothing(helm: Helm) -> None:
    helm("lint", "--strict", CHART)
