"""docs/observability.md tells what processes show: each metric, its type and labels, each alert."""

import re
from collections import defaultdict
from pathlib import Path

import yaml
from aiohttp import ClientSession
from chassis.telemetry import REPLICA_LISTS
from prometheus_client.parser import text_string_to_metric_families
from support.api import Api
from support.stack import Stack
from support.waiting import until
from support.webhook_receiver import webhook_receiver

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "observability.md").read_text()
RULES = [
    rule
    for group in yaml.safe_load(
        (ROOT / "deploy" / "observability" / "alerts.yaml").read_text()
    )["groups"]
    for rule in group["rules"]
]  # fmt: skip
METRIC = re.compile(r"^\| `(tenantry_\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)
ALERT = re.compile(r"^\| `(\w+)` \| (\w+) \| [^|]+ \| \[[\w-]+\]\(([^)]+)\) \|$", re.MULTILINE)
BY_EVENT_ONLY = {"tenantry_page_seconds", "tenantry_replica_lists_total"}
"""Without a series until it happens."""

Metrics = dict[str, tuple[str, frozenset[str]]]


async def scrape(http: ClientSession, stack: Stack) -> Metrics:
    """Type and labels of all series of ours, of all processes together."""
    services = [each["url"] for each in stack.ready["services"].values()]
    types: dict[str, str] = {}
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for url in [stack.ready["management_url"], *services]:
        async with http.get(f"{url}/metrics") as answer:
            for family in text_string_to_metric_families(await answer.text()):
                name = f"{family.name}_total" if family.type == "counter" else family.name
                if name.startswith("tenantry_") and not name.endswith("_created"):
                    types[name] = family.type
                    labels[name] |= {each for sample in family.samples for each in sample.labels}
    return {name: (each, frozenset(labels[name] - {"le"})) for name, each in types.items()}


async def test_the_table_has_what_processes_show(
    stack: Stack, http: ClientSession, api: Api
) -> None:
    told: Metrics = {
        name: (kind, frozenset(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in METRIC.findall(PAGE)
    }
    async with webhook_receiver() as receiver:
        hook = {"url": receiver.url, "events": ["user.*"]}
        assert (await api("POST", "/v1/admin/webhooks", hook)).status == 201
        assert (await api("POST", "/v1/admin/users", {"email": "a@example.com"})).status == 201

        async def has_delivered() -> bool:
            shown = await scrape(http, stack)
            return bool(shown["tenantry_deliveries_total"][1])

        await until(has_delivered)
        shown = await scrape(http, stack)
    assert {name: kind for name, (kind, _) in shown.items()} == {
        name: kind for name, (kind, _) in told.items()
    }
    for name in told.keys() - BY_EVENT_ONLY:
        assert shown[name][1] == told[name][1], name
    # Raises ValueError for other labels.
    REPLICA_LISTS.labels(**dict.fromkeys(told["tenantry_replica_lists_total"][1], "any"))


def test_the_table_has_every_alert_with_its_run_book() -> None:
    found = {name: (severity, f"docs/{book}") for name, severity, book in ALERT.findall(PAGE)}
    assert found == {
        rule["alert"]: (rule["labels"]["severity"], rule["annotations"]["runbook"])
        for rule in RULES
    }


def test_the_outcomes_of_attempts_are_those_of_the_dispatcher() -> None:
    (row,) = re.findall(r"^\| `tenantry_deliveries_total` .*$", PAGE, re.MULTILINE)
    worker = ROOT / "services" / "webhooks" / "worker"
    text = (worker / "attempt.py").read_text() + (worker / "dispatcher.py").read_text()
    written = set(re.findall(r'(?:outcome(?:: str)? ?= ?|return )"(\w+)"', text))
    assert set(re.findall(r"`(\w+)`", row.split("|")[5])) == written
