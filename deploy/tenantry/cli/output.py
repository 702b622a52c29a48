"""Results on standard output: tables for people, JSON and YAML for scripts.

What is no result, such as a total, goes to standard error: a pipe gets the result alone. To be
imported inside commands only: rich takes time and memory.
"""

import io
import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tenantry.cli.options import Format
from tenantry.cli.standard_streams import escape_controls, is_utf8, json_escape, plain, yaml_escape

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
    """On one line. What would control a terminal is escaped, and so not lost."""
    sys.stdout.write(
        escape_controls(json.dumps(value, ensure_ascii=not is_utf8()), json_escape) + "\n"
    )


def to_yaml(value: Any) -> str:
    """YAML 1.2, in which `off` is a word. What would control a terminal is escaped."""
    from ruamel.yaml import YAML
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    def quoted(node: Any) -> Any:
        if isinstance(node, Mapping):
            return {quoted(name): quoted(each) for name, each in node.items()}
        if isinstance(node, list):
            return [quoted(each) for each in node]
        is_hidden = isinstance(node, str) and not node.isprintable()
        return DoubleQuotedScalarString(node) if is_hidden else node

    yaml, text = YAML(), io.StringIO()
    yaml.default_flow_style, yaml.width = False, 4096
    yaml.representer.add_representer(
        type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(quoted(value), text)
    return escape_controls(text.getvalue(), yaml_escape)


def print_value(value: Any, format_: Format) -> None:
    """One thing, in full."""
    if format_ == "json":
        print_json(value)
    elif format_ == "yaml":
        sys.stdout.write(to_yaml(value))
    elif format_ == "name":
        print_names([str(value.get("id", ""))])
    else:
        print_fields(flat := _flatten(value), list(flat))


def print_names(names: Iterable[str]) -> None:
    """A line each."""
    sys.stdout.writelines(plain(name) + "\n" for name in names)


def print_note(text: str, *, dim: bool = False) -> None:
    """For people, beside the result."""
    console = Console(stderr=True, highlight=False)
    console.print(Text(plain(text), style="dim" if dim else "yellow"), soft_wrap=True)


def page_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """A table, through the pager if it is longer than the terminal: never into a pipe."""
    is_long = len(rows) + 2 > shutil.get_terminal_size().lines
    if not (is_long and sys.stdin.isatty() and sys.stdout.isatty()):
        print_table(rows, columns)
        return
    os.environ.setdefault("LESS", "FRX")
    console = _console()
    with console.pager(styles=True):
        console.print(_table(rows, columns))


def _flatten(value: Mapping[str, Any]) -> dict[str, Any]:
    """Its members; those of an object in it as `object.member`."""
    flat: dict[str, Any] = {}
    for name, each in value.items():
        if isinstance(each, dict):
            flat |= {f"{name}.{inner}": member for inner, member in each.items()}
        else:
            flat[name] = each
    return flat


def print_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """`columns` name members of the rows; an underscore is shown as a space."""
    _console().print(_table(rows, columns))


def _table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> Table:
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        shown.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        shown.add_row(*(_cell(row.get(column)) for column in columns))
    return shown


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
    if isinstance(value, bool):
        return Text(str(value).lower())
    if isinstance(value, dict):
        value = value.get("email") or value.get("name") or json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        parts = (each if isinstance(each, str) else json.dumps(each) for each in value)
        return Text(plain(", ".join(parts)))
    text = plain(str(value))
    return Text(text, style=_STYLES.get(text, ""))
