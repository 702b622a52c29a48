"""What is wrong with the product, of the report of `GET /health`, and the run book that helps.

The lines are those of the run books themselves, as a test sees to: `docs` is no part of the wheel.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

RUN_BOOKS = {
    "process-down": "The metrics of a process cannot be scraped. Requests fail if it was the last "
    "replica of its service; nothing is lost.",
    "events-pending": "A service is more than ten thousand events behind, and has not caught up "
    "within ten minutes.",
    "outbox-late": "Events are committed but not published: audit and webhooks are late, no event "
    "is lost.",
    "dead-letters": "The handler of an event failed five times. The other events were processed.",
    "deliveries-late": "Webhook deliveries are due, but are sent late.",
}
"""The first line of each run book that a check leads to."""
_RUN_BOOK_OF = {
    "events": "events-pending",
    "outbox": "outbox-late",
    "dead_letters": "dead-letters",
    "fan_out": "deliveries-late",
}
"""By the name of a check; of what is away altogether it is `process-down`."""
_WELL = "ok"
_NO_DETAILS = frozenset({"status", "latency_ms"})


@dataclass(frozen=True)
class Fault:
    """A check that is not well: `details` are what it has found."""

    check: str
    status: str
    details: Mapping[str, Any]
    run_book: str

    @property
    def line(self) -> str:
        return RUN_BOOKS[self.run_book]


@dataclass(frozen=True)
class ServiceHealth:
    name: str
    status: str
    faults: tuple[Fault, ...]


def services_of(report: Mapping[str, Any]) -> list[ServiceHealth]:
    """The parts of the product in the order of the report."""
    return [
        ServiceHealth(name, part["status"], tuple(_faults(name, part)))
        for name, part in report["checks"].items()
    ]


def _faults(name: str, part: Mapping[str, Any]) -> Iterator[Fault]:
    if part["status"] == _WELL:
        return
    inner = {check: found for check, found in part.items() if isinstance(found, Mapping)}
    if not inner:
        yield _fault(name, part)
    for check, found in inner.items():
        if found.get("status") != _WELL:
            yield _fault(check, found)


def _fault(check: str, found: Mapping[str, Any]) -> Fault:
    details = {name: value for name, value in found.items() if name not in _NO_DETAILS}
    run_book = _RUN_BOOK_OF.get(check, "process-down")
    return Fault(check, str(found.get("status")), details, run_book)
