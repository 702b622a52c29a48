"""What the stack needs: its start, its memory, and its processor time while nothing happens."""

import asyncio
import tempfile
from pathlib import Path

from bench import answering, product
from bench.product import Product
from bench.results import Row

SETTLE_SECONDS, IDLE_SECONDS = 15, 45


async def measure(running: Product, started_in: list[float]) -> list[Row]:
    """Memory after the load of the other parts; the start of a fresh and of a known folder."""
    memory = running.memory()
    figures = _figures(memory)
    return [
        Row("footprint", "start of the whole stack, fresh folder", started_in[0], 8, "<=", " s"),
        Row("footprint", "start of the whole stack again", started_in[1], 8, "<=", " s"),
        Row(
            "footprint", "memory after load (PSS)", sum(memory.values()), 500, "<=", " MB", figures
        ),
    ]


async def starts() -> tuple[list[float], list[Row]]:
    """Two starts of a folder of their own; what a stack needs that does nothing."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = []
        for _ in range(2):
            async with product.running(Path(folder)) as started:
                seconds.append(started.started_in)
                if len(seconds) == 2:
                    rows = [_memory(started), await _idle(started)]
    return seconds, rows


def _memory(idle: Product) -> Row:
    memory = idle.memory()
    total = sum(memory.values())
    return Row("footprint", "memory idle (PSS)", total, 330, "<=", " MB", _figures(memory))


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


async def load(running: Product) -> None:
    """Some load, when no other part of this run has given any."""
    await answering.read(running, 2.0, 1)
