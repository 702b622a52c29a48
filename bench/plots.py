"""The curves of growth as pictures: p50 of a request alone, by the size of the tenant.

`python -m bench.plots` draws them again from growth.json. Each line has a marker and a dash of its
own, so that it is known without its colour, and the legend lists the lines from the slowest down.
"""

import json
from itertools import chain
from pathlib import Path
from typing import Any

from bench.results import FOLDER

UNITS = {"users": "users of the tenant", "members": "users of the tenant", "audit": "events"}
MARKERS = "osD^vX*"
DASHES: tuple[Any, ...] = ("-", "--", (0, (1, 1)), (0, (5, 1, 1, 1)))
"""As many of these and of the markers as have no common divisor: all pairs are different."""

Curve = dict[str, float]


def draw(folder: Path) -> None:
    """One picture for each group, named after it; searches apart from the other lists."""
    import matplotlib as mpl  # by none of the other parts

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    curves: dict[str, dict[str, Curve]] = json.loads((folder / "growth.json").read_text())
    for group, lines in curves.items():
        parts = [part for part in _parts(lines) if part]
        size = (9, 4.2 * len(parts))
        figure, places = plt.subplots(
            len(parts), figsize=size, layout="constrained", sharex=True, squeeze=False
        )
        for axes, part in zip(chain(*places), parts, strict=True):
            _draw_part(axes, part)
        places[0][0].set_title(f"Lists of {group}")
        places[-1][0].set_xlabel(UNITS[group])
        figure.savefig(folder / f"growth-{group}.png", dpi=110)
        plt.close(figure)


def _parts(lines: dict[str, Curve]) -> list[dict[str, Curve]]:
    searches = {what: curve for what, curve in lines.items() if what.startswith("search")}
    if len(searches) < 2:
        return [lines]
    return [searches, {what: curve for what, curve in lines.items() if what not in searches}]


def _draw_part(axes: Any, lines: dict[str, Curve]) -> None:
    slowest_first = sorted(lines.items(), key=lambda line: max(line[1].values()), reverse=True)
    for number, (what, curve) in enumerate(slowest_first):
        sizes = sorted(map(int, curve))
        axes.plot(
            sizes,
            [curve[str(size)] for size in sizes],
            marker=MARKERS[number % len(MARKERS)],
            linestyle=DASHES[number % len(DASHES)],
            markersize=6,
            linewidth=1.3,
            markerfacecolor="none" if number % 2 else None,
            label=what,
        )
    axes.set(xscale="log", yscale="log", ylabel="p50, ms")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.legend(fontsize=8, handlelength=4, loc="upper left", bbox_to_anchor=(1, 1))


if __name__ == "__main__":
    draw(FOLDER)
