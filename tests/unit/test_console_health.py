"""What the console says of the product's health: what is wrong, and the run book for it."""

from pathlib import Path

import pytest
from console.health_report import RUN_BOOKS, services_of

RUN_BOOK_FOLDER = Path(__file__).parents[2] / "docs" / "runbooks"


@pytest.mark.parametrize("name", RUN_BOOKS)
def test_a_line_is_the_first_of_its_run_book(name: str) -> None:
    _, paragraph, *_ = (RUN_BOOK_FOLDER / f"{name}.md").read_text().split("\n\n")
    assert RUN_BOOKS[name] == paragraph.replace("\n", " ")


def test_what_is_not_well_is_named_with_what_it_found() -> None:
    report = {
        "checks": {
            "redis": {"status": "ok", "latency_ms": 0.3},
            "audit": {"status": "down", "latency_ms": 1000.0},
            "webhooks": {
                "status": "degraded",
                "database": {"status": "ok", "latency_ms": 1.0},
                "dead_letters": {"status": "degraded", "latency_ms": 1.0, "count": 3},
                "latency_ms": 4.0,
            },
        }
    }
    well, away, degraded = services_of(report)
    assert (well.name, well.faults) == ("redis", ())
    (fault,) = away.faults
    assert (fault.check, fault.run_book) == ("audit", "process-down")
    (fault,) = degraded.faults
    assert (fault.check, fault.status, fault.details) == ("dead_letters", "degraded", {"count": 3})
    assert fault.line.startswith("The handler of an event failed five times.")
