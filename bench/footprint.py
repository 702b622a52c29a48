"""What the stack needs: its start, its memory, and its processor time while nothing happens."""

import asyncio
import tempfile
from pathlib import Path

from bench import answering, product
from bench.product import Product
from bench.results import Row

SETTLE_SECONDS, IDLE_SECONDS = 30, 60


async def measure(loaded: Product) -> list[Row]:
    """Memory of a stack just after load, as the other parts of the run left it or after some of its
    own; then two starts of a folder of its own, and what that stack needs while nothing happens.
    """
    await answering.read(loaded, 2.0, 1)
    rows = [_memory("memory after load (PSS)", loaded, 500)]
    with tempfile.TemporaryDirectory() as folder:
        for what in ("start of the whole stack, fresh folder", "start of the whole stack again"):
            async with product.running(Path(folder)) as started:
                rows.append(Row("footprint", what, started.started_in, 8, "<=", " s"))
                if what.endswith("again"):
                    rows.append(await _idle(started))
                    rows.append(_memory("memory idle (PSS)", started, 330))
    return rows


def _memory(what: str, running: Product, wanted: float) -> Row:
    memory = running.memory()
    return Row("footprint", what, sum(memory.values()), wanted, "<=", " MB", _figures(memory))


async def _idle(product: Product) -> Row:
    """Once what follows the start is done."""
    await asyncio.sleep(SETTLE_SECONDS)
    before = product.processor_time()
    await asyncio.sleep(IDLE_SECONDS)
    spent = {
        name: 1000 * (seconds - before.get(name, 0)) / IDLE_SECONDS
        for name, seconds in product.processor_time().items()
    }
    total = sum(spent.values())
    return Row(
        "footprint",
        "processor time of an idle stack, thousandths of a core",
        total,
        10,
        "<=",
        figures=_figures(spent, 1),
    )


def _figures(parts: dict[str, float], digits: int = 0) -> str:
    return ", ".join(f"{name} {size:.{digits}f}" for name, size in sorted(parts.items()))
