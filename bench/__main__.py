"""`python -m bench [parts]`: starts the stack, measures, prints the table, keeps the results."""

import argparse
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from bench import (
    answering,
    delays,
    dispatch,
    footprint,
    growth,
    growth_of_others,
    guard,
    importing,
    ingest,
    pages,
    product,
    results,
    retention,
    scaling,
    searching,
    stages,
    tenants,
)
from bench.product import Product
from bench.results import Row

Part = Callable[[Product, argparse.Namespace], Awaitable[list[Row]]]

PARTS: dict[str, Part] = {
    "read": lambda stack, given: answering.read(stack, given.seconds, given.rounds),
    "lists": lambda stack, given: answering.lists(stack, given.seconds, given.rounds),
    "write": lambda stack, given: answering.write(stack, given.seconds, given.rounds),
    "verify": lambda stack, given: answering.verify(stack, given.seconds, given.rounds),
    "ingest": lambda stack, given: ingest.measure(stack, given.ingested, given.rounds),
    "dispatch": lambda stack, given: dispatch.measure(stack, given.sent, given.rounds),
    "delays": lambda stack, given: delays.measure(stack, 5 * given.seconds),
    "searching": lambda stack, given: searching.measure(stack, given.seconds, given.rounds),
    "scaling": lambda stack, given: scaling.measure(stack, given.seconds),
    "stages": lambda stack, given: stages.measure(stack, given.seconds, given.out),
    "footprint": lambda stack, _: footprint.measure(stack),
    "pages": lambda stack, given: pages.measure(stack, given.users, 2 * given.rounds),
    # Afterwards PostgreSQL is busy for a while with what it wrote.
    "import": lambda stack, given: importing.measure(stack, given.rounds),
    "growth": lambda stack, given: growth.measure(
        stack, given.users, given.events, given.seconds / 10, 3, given.out
    ),
    # Deliveries are as many as events.
    "growth-others": lambda stack, given: growth_of_others.measure(
        stack, given.events, given.seconds / 10, 3
    ),
    "retention": lambda stack, given: retention.measure(stack, given.events),
    "tenants": lambda _, given: tenants.measure(given.users, given.seconds / 10, 3),
    "guard": lambda stack, given: guard.measure(stack, given.out),
}
WHOLE = [part for part in PARTS if part != "guard"]


async def run(given: argparse.Namespace) -> tuple[list[Row], list[str]]:
    """The rows of all parts, one stack for all of them; and the parts that failed. What a part has
    measured is kept when it ends: the guard compares with that, and keeps nothing.
    """
    settings = {name: value for name, value in vars(given).items() if name not in ("data", "out")}
    rows: list[Row] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="tenantry-bench-") as folder:
        async with product.running(given.data or Path(folder)) as stack:
            for part in given.parts or WHOLE:
                begun = time.monotonic()
                try:
                    rows += await PARTS[part](stack, given)
                except Exception as error:  # noqa: BLE001 - the other parts are worth having
                    failed.append(part)
                    sys.stderr.write(f"{part} failed: {error!r}\n")
                if part != "guard":
                    results.keep(given.out, rows, settings)
                took = time.monotonic() - begun
                sys.stderr.write(f"{part}: {took:.0f} s\n")
    return rows, failed


def main() -> int:
    """1 when the guard finds a fall or a part fails; a target missed is told, and no failure."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all but guard if none")
    parser.add_argument("--seconds", type=float, default=2.0, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--users", type=int, default=1_000_000, help="of the largest tenant")
    parser.add_argument("--events", type=int, default=1_000_000, help="of the largest trail")
    parser.add_argument("--ingested", type=int, default=20_000, help="events a round")
    parser.add_argument("--sent", type=int, default=8_000, help="deliveries a round")
    parser.add_argument("--data", type=Path, help="a data folder to keep")
    parser.add_argument("--out", type=Path, default=results.FOLDER)
    given = parser.parse_args()
    for folder in filter(None, (given.out, given.data)):
        folder.mkdir(parents=True, exist_ok=True)
    rows, failed = uvloop.run(run(given))
    results.show(rows)
    if given.parts == ["guard"]:
        return 0 if rows and all(row.passes for row in rows) else 1
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
