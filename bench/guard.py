"""The guard: a short measurement that fails on a fall of more than a third against what was kept.

Ratios to the yardstick of the same run, so that a slow machine is no failure.
"""

from pathlib import Path

from bench import answering
from bench.product import Product
from bench.results import Row, load

KEPT = 2 / 3


async def measure(product: Product, folder: Path) -> list[Row]:
    """The rows of reading and writing again, each wanted at two thirds of the last full run."""
    before = {row.what: row.value for row in load(folder) if row.sense == ">="}
    rows = await answering.read(product, 1.0, 5)
    rows += await answering.lists(product, 1.0, 5)
    rows += await answering.write(product, 1.0, 3)
    return [
        Row("guard", row.what, row.value, round(before[row.what] * KEPT, 2), ">=", "", row.figures)
        for row in rows
        if row.what in before
    ]
