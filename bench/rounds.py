"""Rounds: yardstick, ours, yardstick, ours ...; the medians, and the median of the ratios.

A machine that is busy with other things slows both sides of a pair, so the ratio is what is told.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import median

Measure = Callable[[], Awaitable[float]]


@dataclass(frozen=True)
class Compared:
    """Medians of both sides, and of ours by the yardstick in each round."""

    yardstick: float
    ours: float
    ratio: float


async def alternate(yardstick: Measure, ours: Measure, rounds: int) -> Compared:
    """Measures both in turns. Each must answer a positive number."""
    pairs = [(await yardstick(), await ours()) for _ in range(rounds)]
    return Compared(
        median(pair[0] for pair in pairs),
        median(pair[1] for pair in pairs),
        median(mine / theirs for theirs, mine in pairs),
    )
