"""Results on standard output: tables for people, JSON for scripts. Secrets only where they are
the result. Imported inside commands: rich is not light.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDE = 200
"""Columns where there is no terminal: nothing is to be cut there."""

STYLES = {
    "ok": "green",
    "active": "green",
    "warning": "yellow",
    "suspended": "yellow",
} | dict.fromkeys(("failed", "broken", "revoked"), "red")


def console() -> Console:
    width = None if sys.stdout.isatty() else _WIDE
    return Console(width=width, highlight=False)


def as_json(value: Any) -> None:
    """One line of JSON."""
    _write(value)


def _write(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Columns by the names of the rows' members; an underscore shows as a blank."""
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        shown.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        shown.add_row(*(_cell(row.get(column)) for column in columns))
    console().print(shown)


def listing(found: Mapping[str, Any], name: str, columns: Sequence[str], *, as_json: bool) -> None:
    """What `Api.items` answered."""
    if as_json:
        _write(found)
        return
    rows = found[name]
    table(rows, columns)
    more = "" if found["total_exact"] else "at least "
    if len(rows) < found["total"]:
        say(f"{len(rows)} of {more}{found['total']:,}: --limit shows more", "dim")


def facts(value: Mapping[str, Any], names: Sequence[str]) -> None:
    """One thing, a line for each member."""
    shown = Table(box=None, show_header=False, pad_edge=False)
    shown.add_column(style="bold")
    shown.add_column(overflow="fold")
    for name in names:
        shown.add_row(name.replace("_", " "), _cell(value.get(name)))
    console().print(shown)


def say(text: str, style: str = "") -> None:
    console().print(Text(_plain(text), style=style), soft_wrap=True)


def _cell(value: Any) -> Text:
    if value is None or value == []:
        return Text("-", style="dim")
    if isinstance(value, list):
        return Text(_plain(", ".join(map(str, value))))
    text = _plain(str(value))
    return Text(text, style=STYLES.get(text, ""))


def _plain(text: str) -> str:
    """Without what would command the terminal."""
    return "".join(each if each.isprintable() or each == "\n" else "\ufffd" for each in text)
