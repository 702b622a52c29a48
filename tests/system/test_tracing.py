"""One trace from the HTTP request to the webhook that tells of it, at a collector of OTLP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import ClientSession, CookieJar, web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from support.api import new_tenant
from support.stack import Stack, running_stack
from support.waiting import until
from support.webhook_receiver import webhook_receiver

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = f"00-{TRACE}-00f067aa0ba902b7-01"


@dataclass
class Collector:
    """What processes sent: spans by the name of their process."""

    url: str = ""
    spans: list[tuple[str, Span]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        sent = ExportTraceServiceRequest.FromString(await request.read())
        for of_process in sent.resource_spans:
            names = {each.key: each.value.string_value for each in of_process.resource.attributes}
            for scope in of_process.scope_spans:
                self.spans += [(names["service.name"], span) for span in scope.spans]
        return web.Response()

    def of_trace(self, trace: str = TRACE) -> dict[str, Span]:
        """By `process span`."""
        return {
            f"{process} {span.name}": span
            for process, span in self.spans
            if span.trace_id.hex() == trace
        }


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    here = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", here.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    here.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield here
    finally:
        await runner.cleanup()


EDGE = "tenantry-edge POST /v1/admin/organizations"
SERVICE = "tenantry-identity identity.create_organization"
WAY = {
    EDGE,
    SERVICE,
    "tenantry-identity publish",
    "tenantry-audit process",
    "tenantry-webhooks process",
    "tenantry-webhooks deliver",
}


@pytest.fixture(scope="module")
async def traced(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Collector, Stack]]:
    """A running product that sends its spans to the collector."""
    async with (
        collector() as here,
        running_stack(
            tmp_path_factory.mktemp("traced"),
            "--no-demo",
            "--console",
            OTEL_EXPORTER_OTLP_ENDPOINT=here.url,
            OTEL_BSP_SCHEDULE_DELAY="200",
        ) as stack,
    ):
        yield here, stack


async def test_a_change_its_event_and_its_webhook_are_one_trace(
    traced: tuple[Collector, Stack],
) -> None:
    here, stack = traced
    async with webhook_receiver() as endpoint, ClientSession() as http:
        api = await new_tenant(http, stack.url, stack.ready["operator_key"])
        hook = {"url": endpoint.url, "events": ["organization.*"]}
        assert (await api("POST", "/v1/admin/webhooks", hook)).status == 201
        made = await api("POST", "/v1/admin/organizations", {"name": "Acme"}, traceparent=CALLER)
        assert (made.status, made.headers["traceparent"]) == (201, CALLER)

        async def whole() -> bool:
            return here.of_trace().keys() >= WAY

        await until(whole)
        spans = here.of_trace()
    edge, service = (spans[name] for name in sorted(WAY) if "POST" in name or "create" in name)
    assert edge.parent_span_id.hex() == CALLER[36:52]
    assert service.parent_span_id == edge.span_id
    for name in WAY - {f"tenantry-edge {edge.name}", f"tenantry-identity {service.name}"}:
        assert spans[name].parent_span_id == service.span_id, name


async def test_a_page_of_the_console_is_one_trace_with_its_calls(
    traced: tuple[Collector, Stack],
) -> None:
    here, stack = traced
    page, call = "tenantry-console GET /tenants", "tenantry-edge GET /v1/admin/tenants"
    url, jar = stack.ready["console"]["url"], CookieJar(unsafe=True)  # it has an IP address
    async with ClientSession(url, cookie_jar=jar) as http:
        key = {"key": stack.ready["operator_key"]}
        assert (await http.post("/sign-in", data=key)).status == 200
        assert (await http.get("/tenants", headers={"traceparent": CALLER})).status == 200

        async def arrived() -> bool:
            return here.of_trace().keys() >= {page, call}

        await until(arrived)
    spans = here.of_trace()
    assert spans[page].parent_span_id.hex() == CALLER[36:52]
    assert spans[call].parent_span_id == spans[page].span_id


async def test_a_request_without_a_parent_begins_its_trace(
    traced: tuple[Collector, Stack],
) -> None:
    here, stack = traced
    async with ClientSession() as http:
        api = await new_tenant(http, stack.url, stack.ready["operator_key"])
        made = await api("POST", "/v1/admin/organizations", {"name": "Acme"})
        assert made.status == 201
        _, trace, told, _ = made.headers["traceparent"].split("-")

        async def arrived() -> bool:
            return here.of_trace(trace).keys() >= {EDGE, SERVICE}

        await until(arrived)
        spans = here.of_trace(trace)
    assert spans[EDGE].parent_span_id == b""
    assert spans[EDGE].span_id.hex() == told
    assert spans[SERVICE].parent_span_id == spans[EDGE].span_id
    for name, span in spans.items():
        assert name == EDGE or span.parent_span_id in {each.span_id for each in spans.values()}
