"""Whom the pods of the chart hear and reach: callers, servers, each other, what observes them."""

import pytest
from chart.conftest import CHART, Rendered, Resource, read
from contracts.topology import SERVICE_NAMES

pytestmark = pytest.mark.tools("go")
SERVERS = {
    "edge": {"nats", "redis"},
    "console": {"redis"},
    "streams": {"nats"},
    "migrate": {"postgres"},
    "backup": {"postgres"},
    **{name: {"postgres", "nats"} for name in SERVICE_NAMES},
}
"""What each component connects to."""
OBSERVERS = [{"namespaceSelector": {"matchLabels": {"tenantry.dev/observes": "true"}}}]
PREFIXES = {"postgres": "DATABASE", "nats": "NATS", "redis": "REDIS"}
FILES = {"CA": "ca.crt", "CERT": "tls.crt", "KEY": "tls.key"}
CERTIFICATES = "/etc/tenantry/tls/"


def ports_of(container: Resource) -> dict[str, int]:
    return {each["name"]: each["containerPort"] for each in container.get("ports", ())}


def hosts(rendered: Rendered) -> list[str]:
    values = rendered.values
    console = values["console"]["host"] if values["console"]["enabled"] else ""
    return sorted(filter(None, (values["edge"]["host"], console)))


def test_metrics_are_where_callers_do_not_come(rendered: Rendered) -> None:
    for service in rendered.of_kind("Service"):
        (name,) = rendered.selected({"matchLabels": service["spec"]["selector"]})
        ports = ports_of(rendered.containers()[name])
        assert ports["http"] != ports["management"]
        assert [each["targetPort"] for each in service["spec"]["ports"]] == ["http"]
        rules = rendered.rules(name, "ingress")
        (callers,) = [rule for rule in rules if rule["ports"] == [{"port": "http"}]]
        assert ("from" in callers) is bool(rendered.values["networkPolicy"]["callers"])
        (observers,) = [rule for rule in rules if rule is not callers]
        assert observers == {"from": OBSERVERS, "ports": [{"port": "management"}]}


def test_each_reaches_what_it_needs_alone(rendered: Rendered) -> None:
    """Names and the collector of traces like all; webhooks the internet, the console the edge."""
    values = rendered.values
    for name in rendered.pods():
        wanted = [53, 53, *(values["servers"][server]["port"] for server in SERVERS[name])]
        wanted += [values["otlp"]["port"]] if values["otlp"]["endpoint"] else []
        wanted += {"console": [8080], "webhooks": [443, 1025]}.get(name, [])
        rules = rendered.rules(name, "egress")
        assert sorted(port["port"] for rule in rules for port in rule["ports"]) == sorted(wanted)
        assert all(rule["to"] for rule in rules)


def test_the_console_calls_the_edge_and_is_let_in(rendered: Rendered) -> None:
    if not rendered.values["console"]["enabled"]:
        return
    rules = rendered.rules("console", "egress")
    ((to_edge,),) = [rule["to"] for rule in rules if rule["ports"] == [{"port": 8080}]]
    assert rendered.selected(to_edge["podSelector"]) == ["edge"]
    callers = rendered.values["networkPolicy"]["callers"]
    (to_api,) = [rule for rule in rendered.rules("edge", "ingress") if "http" in str(rule["ports"])]
    if callers:
        *others, console = to_api["from"]
        assert others == callers
        assert rendered.selected(console["podSelector"]) == ["console"]


def test_certificates_are_where_they_are_needed_alone(rendered: Rendered) -> None:
    tls = {name: each["tls"] for name, each in rendered.values["servers"].items()}
    for name, pod in rendered.pods().items():
        volumes = {each["name"]: each.get("secret", {}) for each in pod["spec"]["volumes"]}
        found = {
            each["mountPath"].removeprefix(CERTIFICATES): volumes[each["name"]]["secretName"]
            for each in pod["spec"]["containers"][0]["volumeMounts"]
            if each["mountPath"].startswith(CERTIFICATES)
        }
        used = {each for each in SERVERS[name] if tls[each]["secret"]}
        assert found == {each: tls[each]["secret"] for each in used}
        files = {each["name"]: each.get("value") for each in rendered.containers()[name]["env"]}
        named = {each: path for each, path in files.items() if each.endswith("_FILE")}
        assert named == {
            f"TENANTRY_{PREFIXES[each]}_{kind}_FILE": f"{CERTIFICATES}{each}/{file}"
            for each in used
            for kind, file in FILES.items()
            if kind == "CA" or tls[each]["clientCertificate"]
        }


def test_callers_come_to_an_ingress_by_tls_alone(rendered: Rendered) -> None:
    ingresses = rendered.of_kind("Ingress")
    assert bool(ingresses) is (rendered.values["exposure"]["kind"] == "ingress")
    for ingress in ingresses:
        assert sorted(rule["host"] for rule in ingress["spec"]["rules"]) == hosts(rendered)
        assert sorted(host for tls in ingress["spec"]["tls"] for host in tls["hosts"]) == hosts(
            rendered
        )


def test_callers_come_to_a_gateway_by_tls_alone(rendered: Rendered) -> None:
    routes = {each["metadata"]["name"]: each["spec"] for each in rendered.of_kind("HTTPRoute")}
    for gateway in rendered.of_kind("Gateway"):
        plain, *others = gateway["spec"]["listeners"]
        assert sorted(each["hostname"] for each in others) == hosts(rendered)
        assert all(each["tls"]["certificateRefs"] for each in others)
        at_plain = {"name": "tenantry", "sectionName": plain["name"]}
        assert [name for name in routes if at_plain in routes[name]["parentRefs"]] == [
            "tenantry-redirect"
        ]
        (redirect,) = routes.pop("tenantry-redirect")["rules"]
        assert redirect["filters"][0]["requestRedirect"]["scheme"] == "https"
    if rendered.values["exposure"]["kind"] == "gateway":
        assert sorted(host for each in routes.values() for host in each["hostnames"]) == hosts(
            rendered
        )
        for name, route in routes.items():
            assert route["rules"] == [{"backendRefs": [{"name": name, "port": 80}]}]


def test_prometheus_finds_each_process_once(rendered: Rendered) -> None:
    monitors = rendered.of_kind("PodMonitor")
    assert bool(monitors) is (rendered.values["monitoring"]["scrape"] == "podMonitor")
    for name, pod in rendered.pods().items():
        ports = ports_of(rendered.containers()[name])
        annotated = pod["metadata"].get("annotations", {}).get("prometheus.io/port")
        found = [int(annotated)] if annotated else []
        for monitor in monitors:
            if name in rendered.selected(monitor["spec"]["selector"]):
                endpoints = monitor["spec"]["podMetricsEndpoints"]
                found += [ports[each["port"]] for each in endpoints if each["port"] in ports]
        assert found == ([ports["management"]] if ports else [])


def test_the_rules_are_those_of_the_file(rendered: Rendered) -> None:
    rules = [each["spec"] for each in rendered.of_kind("PrometheusRule")]
    enabled = rendered.values["monitoring"]["rules"]["enabled"]
    assert rules == ([read(CHART / "alerts.yaml")] if enabled else [])
