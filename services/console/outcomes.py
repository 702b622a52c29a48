"""The success of a webhook over time: a plot of the last day, week or month, and its pause."""

from dataclasses import dataclass
from datetime import datetime

from contracts.overview import OutcomesQuery

from console.plots import Plot, plot_outcomes
from console.resources import Resource
from console.web import Visit


@dataclass(frozen=True)
class Range:
    """So many hours, so many of them to a bar: few bars, whatever the range."""

    name: str
    hours: int
    step: int


RANGES = (Range("A day", 24, 1), Range("A week", 168, 6), Range("A month", 720, 24))


@dataclass(frozen=True)
class SuccessOverTime:
    plot: Plot
    range: Range
    paused_until: datetime | None
    ranges: tuple[Range, ...] = RANGES


async def get_success(
    visit: Visit, resource: Resource, ids: tuple[str, ...]
) -> SuccessOverTime | None:
    """Over the range of `?hours=`, else over the day; None for what makes no attempts."""
    if resource.outcomes is None:
        return None
    given = visit.request.query_params.get("hours")
    shown = next((each for each in RANGES if str(each.hours) == given), RANGES[0])
    outcomes = await visit.api(resource.outcomes(*ids, OutcomesQuery(hours=shown.hours)))
    plot = plot_outcomes(outcomes.hours, shown.step)
    return SuccessOverTime(plot, shown, outcomes.paused_until)
