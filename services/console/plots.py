"""Bar charts as numbers, for the macro `plot`. Pure.

A bar stands for a stretch of time; its parts, one for each series, lie on each other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

WIDTH, HEIGHT = 720, 120
_GAP = 0.2
"""Of a bar's place, between it and the next."""


@dataclass(frozen=True)
class Series:
    """`tone` is the class of its colour, beside its name in the legend."""

    name: str
    tone: str
    values: Sequence[int]

    @property
    def total(self) -> int:
        return sum(self.values)


@dataclass(frozen=True)
class Part:
    """A rectangle of the drawing, in its units."""

    tone: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Plot:
    """`id` is unique on its page; `unit` is what a bar stands for: `hour`."""

    id: str
    title: str
    unit: str
    starts: Sequence[datetime]
    series: Sequence[Series]

    @property
    def sums(self) -> list[int]:
        """The heights of the bars."""
        return [sum(values) for values in zip(*(each.values for each in self.series), strict=True)]

    @property
    def most(self) -> int:
        return max(self.sums, default=0)

    @property
    def description(self) -> str:
        parts = ", ".join(f"{each.total:,} {each.name}" for each in self.series)
        return f"{parts}; at most {self.most:,} by {self.unit}."

    @property
    def rows(self) -> list[tuple[datetime, tuple[int, ...]]]:
        """The same as a table, the newest first, without bars of nothing."""
        values = zip(*(each.values for each in self.series), strict=True)
        rows = [(start, each) for start, each in zip(self.starts, values, strict=True) if any(each)]
        return rows[::-1]

    def parts(self) -> Iterator[Part]:
        """The rectangles, those of nothing left out."""
        if not self.most:
            return
        place = WIDTH / len(self.starts)
        tops = [0] * len(self.starts)
        for series in self.series:
            for number, value in enumerate(series.values):
                if value:
                    tops[number] += value
                    height = HEIGHT * value / self.most
                    y = HEIGHT - HEIGHT * tops[number] / self.most
                    yield Part(
                        series.tone,
                        round(place * number, 1),
                        round(y, 1),
                        round(place * (1 - _GAP), 1),
                        round(height, 1),
                    )


def plot_events(hours: Sequence[Any]) -> Plot:
    """Of the `events` of an overview."""
    series = Series("events", "plain", [each.total for each in hours])
    return Plot("events", "Events", "hour", [each.start for each in hours], [series])


def plot_outcomes(hours: Sequence[Any], step: int = 1) -> Plot:
    """Of `OutcomeHour`s, so many to a bar."""
    groups = [hours[start : start + step] for start in range(0, len(hours), step)]
    series = [
        Series(name, tone, [sum(getattr(each, name) for each in group) for group in groups])
        for name, tone in (("succeeded", "good"), ("retried", "plain"), ("failed", "bad"))
    ]
    unit = {1: "hour", 24: "day"}.get(step, f"{step} hours")
    return Plot("outcomes", "Attempts", unit, [group[0].start for group in groups], series)
