"""Users in a file, NDJSON or CSV with a header, as the NDJSON lines that the bulk endpoint takes.

The same file always gives the same chunks: an import goes on from the number of its last one.
"""

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tenantry.failing import Misconfigured

CHUNK_LINES = 5_000
CHUNK_BYTES = 4 * 1024 * 1024
"""Half of what a request may have: an interruption repeats less."""
METADATA = "metadata."
COLUMNS = ("email", "email_verified", "username", "name", "external_id", "status", "metadata")
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

Format = Literal["ndjson", "csv"]


@dataclass(frozen=True, slots=True)
class Line:
    """One user: where in the file, and as JSON."""

    number: int
    data: bytes


@dataclass(frozen=True)
class Source:
    """A file as it stands: its digest tells whether it is still the same."""

    path: Path
    format: Format
    sha256: str
    lines: int

    def chunks(self) -> Iterator[list[Line]]:
        """Raises Misconfigured for a file that is not of its format."""
        return _chunks(_ndjson(self.path) if self.format == "ndjson" else _csv(self.path))


def look_at(path: Path, form: Format | None = None) -> Source:
    """Reads the file once. Without `form`, its ending decides."""
    form = form or ("csv" if path.suffix.lower() == ".csv" else "ndjson")
    digest, lines = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
                lines += block.count(b"\n")
    except OSError as error:
        raise Misconfigured(
            f"{path} cannot be read: {error.strerror}", "Name a file that you may read."
        ) from None
    return Source(path, form, digest.hexdigest(), lines)


def _chunks(lines: Iterable[Line]) -> Iterator[list[Line]]:
    chunk: list[Line] = []
    size = 0
    for line in lines:
        length = len(line.data) + 1
        if chunk and (len(chunk) == CHUNK_LINES or size + length > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(line)
        size += length
    if chunk:
        yield chunk


def _ndjson(path: Path) -> Iterator[Line]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            if data := raw.strip():
                yield Line(number, data)


def _csv(path: Path) -> Iterator[Line]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            _check_header(path, reader.fieldnames or ())
            for row in reader:
                yield Line(reader.line_num, json.dumps(_user(path, reader.line_num, row)).encode())
    except UnicodeDecodeError:
        raise Misconfigured(f"{path} is not UTF-8", "Save it as UTF-8.") from None
    except csv.Error as error:
        raise Misconfigured(f"{path} is no CSV: {error}", "Save it as CSV (RFC 4180).") from None


def _check_header(path: Path, names: Iterable[str]) -> None:
    names = list(names)
    parts = [name for name in names if name.startswith(METADATA)]
    strange = sorted(set(names) - set(COLUMNS) - set(parts))
    if strange:
        wrong = f"has what is no field of a user: {', '.join(strange)}"
    elif "email" not in names:
        wrong = "has no email"
    elif len(set(names)) != len(names):
        wrong = "has a column twice"
    elif parts and "metadata" in names:
        wrong = f"has both metadata and {parts[0]}"
    else:
        return
    raise Misconfigured(
        f"the header of {path} {wrong}",
        f"Its first line names columns, of {', '.join(COLUMNS)} and {METADATA}<name>.",
    )


def _user(path: Path, number: int, row: dict[str, Any]) -> dict[str, Any]:
    """Empty cells are absent. What is no flag or no JSON is for the product to refuse."""
    if None in row or None in row.values():
        raise Misconfigured(
            f"line {number} of {path} has not as many cells as the header",
            "Quote cells that contain commas or quotes (RFC 4180).",
        )
    user: dict[str, Any] = {}
    for name, cell in row.items():
        if cell == "":
            continue
        if name.startswith(METADATA):
            user.setdefault("metadata", {})[name.removeprefix(METADATA)] = cell
        elif name == "metadata":
            user["metadata"] = _json(cell)
        else:
            user[name] = _FLAGS.get(cell.lower(), cell) if name == "email_verified" else cell
    return user


def _json(cell: str) -> Any:
    try:
        return json.loads(cell)
    except ValueError:
        return cell
