"""What the stack needs: how long it takes to start, and how much memory it has."""

import tempfile
from pathlib import Path

from bench import answering, product
from bench.product import Product
from bench.results import Row


async def measure(running: Product, started_in: list[float]) -> list[Row]:
    """Memory after the load of the other parts; the start of a fresh and of a known folder."""
    memory = running.memory()
    figures = ", ".join(f"{name} {size:.0f}" for name, size in sorted(memory.items()))
    return [
        Row("footprint", "start of the whole stack, fresh folder", started_in[0], 8, "<=", " s"),
        Row("footprint", "start of the whole stack again", started_in[1], 8, "<=", " s"),
        Row(
            "footprint", "memory after load (PSS)", sum(memory.values()), 500, "<=", " MB", figures
        ),
    ]


async def starts() -> tuple[list[float], Row]:
    """Two starts of a folder of their own, and the memory of a stack that has done nothing yet."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = []
        for _ in range(2):
            async with product.running(Path(folder)) as started:
                seconds.append(started.started_in)
                idle = started.memory()
    figures = ", ".join(f"{name} {size:.0f}" for name, size in sorted(idle.items()))
    row = Row("footprint", "memory idle (PSS)", sum(idle.values()), 500, "<=", " MB", figures)
    return seconds, row


async def load(running: Product) -> None:
    """Some load, when no other part of this run has given any."""
    await answering.read(running, 2.0, 1)
