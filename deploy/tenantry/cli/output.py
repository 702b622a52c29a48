"""Results on standard output: tables for people, JSON for scripts.

To be imported inside commands only: rich takes time and memory.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tenantry.cli.standard_streams import is_utf8, plain

_WIDTH = 200
"""Columns if there is no terminal, so that nothing is cut."""

_STYLES = {
    "ok": "green",
    "active": "green",
    "warning": "yellow",
    "suspended": "yellow",
} | dict.fromkeys(("failed", "broken", "revoked"), "red")


def _console() -> Console:
    width = None if sys.stdout.isatty() else _WIDTH
    return Console(width=width, highlight=False)


def print_json(value: Any) -> None:
    """On one line."""
    sys.stdout.write(json.dumps(value, ensure_ascii=not is_utf8()) + "\n")


def print_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """`columns` name members of the rows; an underscore is shown as a space."""
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        shown.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        shown.add_row(*(_cell(row.get(column)) for column in columns))
    _console().print(shown)


def print_fields(value: Mapping[str, Any], names: Sequence[str]) -> None:
    """The named members of one thing, a line each."""
    shown = Table(box=None, show_header=False, pad_edge=False)
    shown.add_column(style="bold")
    shown.add_column(overflow="fold")
    for name in names:
        shown.add_row(name.replace("_", " "), _cell(value.get(name)))
    _console().print(shown)


def print_line(text: str, style: str = "") -> None:
    _console().print(Text(plain(text), style=style), soft_wrap=True)


def _cell(value: Any) -> Text:
    if value is None or value == []:
        return Text("-", style="dim")
    if isinstance(value, list):
        return Text(plain(", ".join(map(str, value))))
    text = plain(str(value))
    return Text(text, style=_STYLES.get(text, ""))
