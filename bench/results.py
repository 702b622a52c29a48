"""What was measured, against what was wanted: tables for people, JSON for the next run.

A run of some parts replaces the rows of those parts alone.
"""

import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

FOLDER = Path("docs/performance")


@dataclass(frozen=True)
class Row:
    """`value` is a ratio wherever there is something to compare with; figures are information."""

    part: str
    what: str
    value: float
    wanted: float
    sense: Literal[">=", "<="]
    unit: str = ""
    figures: str = ""

    @property
    def passes(self) -> bool:
        return self.value >= self.wanted if self.sense == ">=" else self.value <= self.wanted


def show(rows: list[Row]) -> None:
    """Prints the table."""
    table = Table("part", "what", "measured", "wanted", "", "figures of this run")
    for row in rows:
        verdict = "[green]ok[/]" if row.passes else "[red]MISS[/]"
        wanted = f"{'≥' if row.sense == '>=' else '≤'} {row.wanted:g}{row.unit}"
        table.add_row(
            row.part, row.what, f"{row.value:.2f}{row.unit}", wanted, verdict, row.figures
        )
    Console(width=150).print(table)


def _cells(row: Row) -> tuple[str, str, str, str, str]:
    wanted = f"{'≥' if row.sense == '>=' else '≤'} {row.wanted:g}{row.unit}"
    verdict = "ok" if row.passes else "miss"
    return row.what, f"{row.value:.2f}{row.unit}", wanted, verdict, row.figures


def keep(folder: Path, rows: list[Row], settings: dict[str, object]) -> None:
    """Writes results.json and results.md, where rows of other parts stay."""
    parts = {row.part for row in rows}
    others = [row for row in load(folder) if row.part not in parts]
    rows = [*others, *rows]
    content = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "settings": settings,
        "rows": [{**asdict(row), "passes": row.passes} for row in rows],
    }
    path = folder / "results.json"
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    lines = ["| what | measured | wanted | | figures of that run |", "|---|---|---|---|---|"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    (folder / "results.md").write_text("\n".join(["# Results", "", *lines, ""]))


def load(folder: Path) -> list[Row]:
    """The rows of the last run; none when there was no run."""
    path = folder / "results.json"
    if not path.exists():
        return []
    rows = json.loads(path.read_text())["rows"]
    return [Row(**{name: value for name, value in row.items() if name != "passes"}) for row in rows]
