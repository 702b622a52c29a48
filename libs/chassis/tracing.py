"""Traces: one from the HTTP request to the webhook that tells of it, once a collector is named.

`OTEL_EXPORTER_OTLP_ENDPOINT` names it (OTLP over HTTP, with the other variables of OpenTelemetry).
Without it nothing of OpenTelemetry is imported, and a caller's traceparent goes through unchanged.
"""

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from random import getrandbits
from typing import Any, Literal

Kind = Literal["SERVER", "CLIENT", "PRODUCER", "CONSUMER"]

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_tracer: Any = None
NO_PARENT = ""
"""No valid traceparent: what is extracted of it is no context (W3C Trace Context 4.3)."""


@dataclass(slots=True)
class Span:
    """A span that is open; `traceparent` goes with all that it causes (W3C Trace Context)."""

    traceparent: str
    recorded: Any = None

    def set_name(self, name: str) -> None:
        """What it is called from now on, where that is not known at its start."""
        if self.recorded is not None:
            self.recorded.update_name(name)

    def set_status(self, status: int) -> None:
        """With an HTTP status; from 500 it counts as an error."""
        if self.recorded is not None:
            from opentelemetry.trace import StatusCode

            self.recorded.set_attribute("http.response.status_code", status)
            if status >= 500:
                self.recorded.set_status(StatusCode.ERROR)


def new_request_id() -> str:
    """`req_` and 24 hexadecimal digits: it tells requests apart, and is no secret."""
    return f"req_{getrandbits(96):024x}"


def new_traceparent() -> str:
    """Of a trace that begins here (W3C Trace Context)."""
    return f"00-{getrandbits(128):032x}-{getrandbits(64):016x}-01"


def configure_tracing(service: str) -> None:
    """Traces from now on, if a collector is named."""
    if not os.environ.get(_ENDPOINT):
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    global _tracer  # noqa: PLW0603 - one per process, as OpenTelemetry has it
    provider = TracerProvider(resource=Resource.create({"service.name": f"tenantry-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = provider.get_tracer("tenantry")


def is_enabled() -> bool:
    """Whether anything is traced."""
    return _tracer is not None


def span(
    name: str, kind: Kind, traceparent: str, *, is_root: bool = False, **attributes: str | int
) -> AbstractContextManager[Span]:
    """Names and attributes are bounded words; an exception that escapes marks an error.

    A root begins a trace of its own if anything is traced: nobody has the span of `traceparent`.
    """
    if _tracer is None:
        return nullcontext(Span(traceparent))
    return _recorded(name, kind, NO_PARENT if is_root else traceparent, attributes)


@contextmanager
def _recorded(
    name: str, kind: Kind, traceparent: str, attributes: dict[str, str | int]
) -> Iterator[Span]:
    with _tracer.start_as_current_span(name, **_place(kind, traceparent, attributes)) as recorded:
        own = recorded.get_span_context()
        flags = f"{own.trace_flags:02x}"
        yield Span(f"00-{own.trace_id:032x}-{own.span_id:016x}-{flags}", recorded)


def record_span(
    name: str, kind: Kind, traceparent: str, seconds: float, **attributes: str | int
) -> None:
    """A span that ends now and took so long: for what is done to many at once."""
    if _tracer is None:
        return
    now = time.time_ns()
    began = now - int(seconds * 1e9)
    place = _place(kind, traceparent, attributes)
    _tracer.start_span(name, start_time=began, **place).end(end_time=now)


def _place(kind: Kind, traceparent: str, attributes: dict[str, str | int]) -> dict[str, Any]:
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
    return {"context": context, "kind": SpanKind[kind], "attributes": attributes}
