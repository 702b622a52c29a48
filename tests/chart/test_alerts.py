"""The alerts, by Prometheus' own evaluator, over what a real stack has shown of itself.

Recordings (`record_metrics.py`) are of a stack that is well and of one under each fault. What they
counted goes on at the same rate, what they measured stays. Of two replicas one has the fault, and
beside that installation are a healthy one and pods of others.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart.conftest import CHART, HERE, ROOT, read
from support.tools import run

pytestmark = pytest.mark.tools("go")
RECORDINGS = HERE / "recordings"
INTERVAL = 15
STEPS = 120
DOWN_AT = 40
"""The step at which a process falls silent that could not be scraped."""
AT = "29m"
FIRING = 'count by (alertname, namespace, service) (ALERTS{alertstate="firing"})'
RULES = [rule for group in read(CHART / "alerts.yaml")["groups"] for rule in group["rules"]]
SHARED = ("tenantry_outbox_oldest_seconds", "tenantry_events_pending", "tenantry_dead_letters")
"""Measured of the database and the stream of a service, by each replica."""
FIRED: dict[str, set[tuple[str, str | None]]] = {
    "healthy": set(),
    "process-down": {("TenantryProcessDown", None)},
    # Of what hangs, all that wait for it tell.
    "errors": {
        ("TenantryErrors", None),
        ("TenantryProcessDown", None),
        ("TenantrySlow", None),
        ("TenantryConsoleErrors", None),
    },
    "slow": {("TenantrySlow", None), ("TenantryPoolFull", "identity")},
    "console-errors": {("TenantryConsoleErrors", None)},
    "outbox-late": {("TenantryOutboxLate", "identity")},
    "events-pending": {("TenantryEventsPending", "audit")},
    "dead-letters": {("TenantryDeadLetters", "audit")},
    "events-refused": {("TenantryEventsRefused", "audit"), ("TenantryEventsRefused", "webhooks")},
    "deliveries-late": {("TenantryDeliveriesLate", None)},
    "loop-busy": {("TenantryLoopBusy", "webhooks")},
}
"""By fault, the alerts that fire, each with its service if it is of one."""


@dataclass(frozen=True)
class Scraped:
    """How Prometheus finds processes, by the labels that it gives to a target."""

    job: str
    pod_labels: tuple[str, ...] = ()

    def labels(self, namespace: str, process: str, replica: str) -> dict[str, str]:
        given = {
            "job": self.job.format(process=process, namespace=namespace),
            "instance": f"{namespace}.{process}-{replica}:8080",
            "namespace": namespace,
            "pod": f"tenantry-{process}-6d5f4-{replica}",
            "container": process,
            "endpoint": "management",
        }
        return {name: given[name] for name in ("job", "instance", *self.pod_labels)}


SCRAPED = {
    "pod-monitor": Scraped("{namespace}/tenantry", ("namespace", "pod", "container", "endpoint")),
    "annotations": Scraped("kubernetes-pods", ("namespace", "pod")),
    "static": Scraped("tenantry-{process}"),
}


def text(name: str, labels: dict[str, str]) -> str:
    """A series in Prometheus' notation; what the process says of it is in `name`."""
    metric, _, own = name.rstrip("}").partition("{")
    given = [f'{each}="{value}"' for each, value in labels.items()]
    return f"{metric}{{{','.join([*filter(None, [own]), *given])}}}"


def values(name: str, recorded: list[float], seconds: float) -> str:
    first, last = recorded[0], recorded[-1]
    if len(recorded) == 1:
        return f"{first}+0x{DOWN_AT} stale"
    if name.partition("{")[0].endswith(("_count", "_bucket", "_total")):
        return f"{first}+{(last - first) / seconds * INTERVAL:.6f}x{STEPS}"
    return f"{last}+0x{STEPS}"


def read_recording(fault: str) -> Any:
    return json.loads((RECORDINGS / f"{fault}.json").read_text())


def installation(fault: str, namespace: str, scraped: Scraped) -> Iterator[dict[str, str]]:
    """Both replicas say of what they share what the one with the fault says."""
    faulty, well = read_recording(fault), read_recording("healthy")
    measured = {
        (process, name): recorded
        for process, name, recorded in faulty["series"]
        if name in SHARED and len(recorded) == 2
    }
    for each in well["series"]:
        each[2] = measured.get((each[0], each[1]), each[2])
    for replica, recording in (("faulty", faulty), ("well", well)):
        is_up: dict[str, bool] = {}
        for process, name, recorded in recording["series"]:
            is_up[process] = len(recorded) == 2
            series = text(name, scraped.labels(namespace, process, replica))
            yield {"series": series, "values": values(name, recorded, recording["seconds"])}
        for process, up in is_up.items():
            series = text("up", scraped.labels(namespace, process, replica))
            shown = f"1+0x{STEPS}" if up else f"1+0x{DOWN_AT} 0+0x{STEPS}"
            yield {"series": series, "values": shown}


def others(scraped: Scraped) -> Iterator[dict[str, str]]:
    """What is not ours is down, beside us and elsewhere."""
    for namespace in ("prod", "elsewhere"):
        series = text("up", scraped.labels(namespace, "postgres", "0"))
        yield {"series": series, "values": f"0+0x{STEPS}"}


def evaluated(fault: str, style: str, fired: set[tuple[str, str | None]]) -> dict[str, Any]:
    scraped = SCRAPED[style]
    series = [*installation(fault, "prod", scraped), *others(scraped)]
    if style != "static":
        series += installation("healthy", "staging", scraped)
    shown = {"namespace": "prod"} if style != "static" else {}
    expected = []
    for name, service in fired:
        labels = {"alertname": name, **shown} | ({"service": service} if service else {})
        expected.append({"labels": text("", labels), "value": 1})
    return {
        "rule_files": [str(CHART / "alerts.yaml")],
        "evaluation_interval": "15s",
        "tests": [
            {
                "name": f"{fault} {style}",
                "interval": f"{INTERVAL}s",
                "input_series": series,
                "promql_expr_test": [
                    {
                        "expr": FIRING,
                        "eval_time": AT,
                        "exp_samples": expected,
                    }
                ],
            }
        ],
    }


@pytest.mark.parametrize("style", SCRAPED)
@pytest.mark.parametrize("fault", FIRED)
def test_each_alert_fires_once_for_its_fault_and_for_no_other(
    promtool: Path, tmp_path: Path, fault: str, style: str
) -> None:
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump(evaluated(fault, style, FIRED[fault])))
    run(promtool, "test", "rules", file, cwd=tmp_path)


def test_every_alert_has_a_fault() -> None:
    fired = {name for each in FIRED.values() for name, _ in each}
    assert fired == {rule["alert"] for rule in RULES}


def test_the_rules_are_well_formed(promtool: Path) -> None:
    run(promtool, "check", "rules", CHART / "alerts.yaml", cwd=CHART)


def test_the_queries_of_the_dashboard_are_well_formed(promtool: Path, tmp_path: Path) -> None:
    panels = json.loads((ROOT / "deploy" / "observability" / "dashboard.json").read_text())[
        "panels"
    ]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    rules = [
        {"record": f"query:{number}", "expr": each.replace("$__rate_interval", "1m")}
        for number, each in enumerate(queries)
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    run(promtool, "check", "rules", file, cwd=tmp_path)
