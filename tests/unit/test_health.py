"""Health is looked up once for all who ask, and again when a second has passed."""

import asyncio

import pytest
from chassis import health
from chassis.health import MAX_AGE, Health


class Looks:
    """A check that counts how often it is made."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self) -> None:
        self.count += 1
        await asyncio.sleep(0)


async def ask(checked: Health) -> None:
    for route in checked.routes():
        await route.endpoint(None)


async def test_however_often_it_is_asked_a_look_serves_for_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks, checked = Looks(), Health()
    checked.add("thing", looks)
    for _ in range(100):
        await ask(checked)
    assert looks.count == 2, "one for health, one for readiness"
    now = health.time.monotonic()
    monkeypatch.setattr(health.time, "monotonic", lambda: now + MAX_AGE)
    await ask(checked)
    assert looks.count == 4


async def test_that_it_leaves_is_said_at_once() -> None:
    checked = Health()
    (_, ready, _) = checked.routes()
    assert (await ready.endpoint(None)).status_code == 200
    checked.leaving = True
    assert (await ready.endpoint(None)).status_code == 503


def test_metrics_are_for_management_alone() -> None:
    paths = {route.path for route in Health().routes()}
    assert paths == {"/health", "/health/ready", "/health/live"}
    assert {route.path for route in Health().management_routes()} - paths == {"/metrics"}


async def test_a_gauge_is_measured_when_metrics_are_asked_for_once_a_second() -> None:
    looks, checked = Looks(), Health()
    checked.add_gauge(looks)
    await ask(checked)
    assert looks.count == 0
    (metrics,) = (each for each in checked.management_routes() if each.path == "/metrics")
    for _ in range(10):
        await metrics.endpoint(None)
    assert looks.count == 1
