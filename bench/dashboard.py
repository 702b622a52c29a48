"""Draws the panels of deploy/observability/dashboard.json, by their own queries to a Prometheus.

python -m bench.dashboard http://127.0.0.1:9090 docs/images/dashboard.png [MINUTES]
"""

import json
import re
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from bench.plots import DASHES

DASHBOARD = Path(__file__).parents[1] / "deploy" / "observability" / "dashboard.json"
RATE_INTERVAL = "30s"
STEP = 5
WIDTH = 24
"""Of Grafana's grid."""
UNITS = {
    "reqps": (1, "requests/s"),
    "ops": (1, "per second"),
    "percentunit": (100, "%"),
    "s": (1, "seconds"),
    "bytes": (1 / 1024**2, "MiB"),
    "short": (1, ""),
}

Series = tuple[str, list[float], list[float]]


def query(url: str, target: dict[str, Any], minutes: float) -> list[Series]:
    """The series of a panel's query: name, minutes before now, values."""
    now = time.time()
    parameters = {
        "query": target["expr"].replace("$__rate_interval", RATE_INTERVAL),
        "start": now - 60 * minutes,
        "end": now,
        "step": STEP,
    }
    with urlopen(f"{url}/api/v1/query_range?{urlencode(parameters)}") as answer:  # noqa: S310 - given
        found = json.load(answer)["data"]["result"]
    return [
        (
            _legend(target.get("legendFormat", ""), each["metric"]),
            [(float(at) - now) / 60 for at, _ in each["values"]],
            [float(value) for _, value in each["values"]],
        )
        for each in found
    ]


def _legend(pattern: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{ *(\w+) *\}\}", lambda found: labels.get(found[1], ""), pattern)


def draw(url: str, file: Path, minutes: float) -> None:
    """All panels in their places."""
    import matplotlib as mpl  # by none of the other parts

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from PIL import Image

    panels = json.loads(DASHBOARD.read_text())["panels"]
    columns = WIDTH // panels[0]["gridPos"]["w"]
    rows = -(-len(panels) // columns)
    figure, places = plt.subplots(
        rows, columns, figsize=(5.4 * columns, 3.4 * rows), layout="constrained", squeeze=False
    )
    for panel in panels:
        place = panel["gridPos"]
        axes = places[place["y"] // place["h"]][place["x"] // place["w"]]
        factor, unit = UNITS[panel["fieldConfig"]["defaults"]["unit"]]
        series = [each for target in panel["targets"] for each in query(url, target, minutes)]
        for number, (name, times, values) in enumerate(series):
            shown = [factor * value for value in values]
            axes.plot(times, shown, linestyle=DASHES[number % len(DASHES)], label=name)
        axes.set_title(panel["title"], fontsize=10)
        axes.set_ylabel(unit, fontsize=8)
        axes.set_ylim(bottom=0)
        axes.set_xlim(-minutes, 0)
        axes.tick_params(labelsize=8)
        axes.grid(visible=True, alpha=0.2)
        if series:
            axes.legend(fontsize=6, handlelength=4)
    for axes in places[-1]:
        axes.set_xlabel("minutes", fontsize=8)
    picture = BytesIO()
    figure.savefig(picture, dpi=80)
    Image.open(picture).quantize(64).save(file, optimize=True)


if __name__ == "__main__":
    draw(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 5.0)
