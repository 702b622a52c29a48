"""The plots of the console as numbers: all of it is drawn, nothing beyond the drawing."""

from datetime import UTC, datetime, timedelta

from console.plots import HEIGHT, WIDTH, plot_events, plot_outcomes
from contracts.overview import EventHour, OutcomeHour

START = datetime(2026, 1, 15, tzinfo=UTC)


def outcome_hours(*counts: tuple[int, int, int]) -> list[OutcomeHour]:
    return [
        OutcomeHour(start=START + timedelta(hours=n), succeeded=a, retried=b, failed=c)
        for n, (a, b, c) in enumerate(counts)
    ]


def test_parts_lie_on_each_other_up_to_the_highest_bar() -> None:
    plot = plot_outcomes(outcome_hours((6, 3, 1), (0, 0, 0), (5, 0, 0)))
    parts = list(plot.parts())
    assert [(part.tone, part.y, part.height) for part in parts if part.x == 0] == [
        ("good", 48.0, 72.0),
        ("plain", 12.0, 36.0),
        ("bad", 0.0, 12.0),
    ]
    assert [part.height for part in parts if part.x > 0] == [HEIGHT / 2]
    assert all(part.x >= 0 and part.x + part.width <= WIDTH for part in parts)
    assert (plot.most, plot.sums) == (10, [10, 0, 5])
    assert plot.description == "11 succeeded, 3 retried, 1 failed; at most 10 by hour."
    assert [values for _, values in plot.rows] == [(5, 0, 0), (6, 3, 1)]


def test_a_bar_of_a_day_is_the_sum_of_its_hours() -> None:
    plot = plot_outcomes(outcome_hours(*((1, 0, 2),) * 48), step=24)
    assert (plot.unit, plot.sums) == ("day", [72, 72])
    assert list(plot.starts) == [START, START + timedelta(days=1)]


def test_nothing_happened_is_drawn_as_nothing() -> None:
    plot = plot_events([EventHour(start=START + timedelta(hours=n), total=0) for n in range(24)])
    assert (list(plot.parts()), plot.rows, plot.most) == ([], [], 0)
