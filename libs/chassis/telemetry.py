"""How a process is observed: JSON log lines and Prometheus metrics, their labels all bounded."""

import logging
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import orjson
import structlog
from prometheus_client import Counter, Gauge, Histogram
from structlog.typing import EventDict

VERSION = version("tenantry")

BUILD_INFO = Gauge("tenantry_build_info", "Which process this is.", ["service", "version"])
CALL_SECONDS = Histogram("tenantry_call_seconds", "Time to answer a call.", ["call", "status"])
REQUEST_SECONDS = Histogram(
    "tenantry_request_seconds", "Time to answer an HTTP request.", ["route", "status"]
)
PAGE_SECONDS = Histogram(
    "tenantry_page_seconds", "Time to answer a request of the console.", ["route", "status"]
)
EVENTS_PUBLISHED = Counter("tenantry_events_published_total", "Events acknowledged by the stream.")
EVENTS_CONSUMED = Counter("tenantry_events_consumed_total", "Events taken in, first time only.")
EVENTS_REFUSED = Counter(
    "tenantry_events_refused_total", "Messages that are no events of ours, by reason.", ["reason"]
)
EVENTS_PENDING = Gauge("tenantry_events_pending", "Events that the service has yet to take in.")
DEAD_LETTERS = Gauge("tenantry_dead_letters", "Events given up, for an operator to look at.")
REFUSALS_UNRECORDED = Counter(
    "tenantry_refusals_unrecorded_total",
    "Refused uses of a key beyond the hundred of its day that the audit trail has.",
)
OUTBOX_AGE = Gauge("tenantry_outbox_oldest_seconds", "Age of the oldest unpublished event.")
LOOP_LAG = Gauge("tenantry_event_loop_lag_seconds", "How late a timer of this process rings.")
POOL_USED = Gauge("tenantry_pool_used", "Database connections in use.")
POOL_SIZE = Gauge("tenantry_pool_size", "Database connections that may be used.")
REPLICA_LAG = Gauge(
    "tenantry_replica_lag_seconds", "How old what the read replica shows can be, at the most."
)
REPLICA_LISTS = Counter(
    "tenantry_replica_lists_total",
    "Lists that the read replica answered, or why the primary did.",
    ["outcome"],
)
DELIVERY_WAIT = Histogram(
    "tenantry_delivery_wait_seconds",
    "From the time that a delivery is due to its attempt.",
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 3600),
)
DELIVERIES = Counter("tenantry_deliveries_total", "Webhook attempts by outcome.", ["outcome"])


def configure_logging(service: str, level: str) -> None:
    """One JSON object a line on standard output, other libraries' warnings included."""

    def stamped(_: Any, __: str, event: EventDict) -> EventDict:
        event["timestamp"] = datetime.now(UTC)
        event["service"] = service
        return event

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            stamped,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(orjson.dumps, option=orjson.OPT_UTC_Z),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Forward()], force=True)


class _Forward(logging.Handler):
    """Standard logging of libraries, through the same door."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno,
            "library",
            logger=record.name,
            message=record.getMessage(),
            exc_info=record.exc_info,
        )
