"""Users in a file, NDJSON or CSV with a header, as the lines of a bulk import.

The same file always gives the same chunks: an import continues after the number of its last one.
"""

import codecs
import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

from tenantry_client.errors import TenantryError

CHUNK_LINES = 5_000
CHUNK_BYTES = 4 * 1024 * 1024
"""Half of what the API accepts at once: an interrupted import repeats less."""
LINE_BYTES = 256 * 1024
"""What the API takes of one user."""
METADATA = "metadata."
COLUMNS = ("email", "email_verified", "username", "name", "external_id", "status", "metadata")
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

Format = Literal["ndjson", "csv"]


@dataclass(frozen=True, slots=True)
class Line:
    """One user as JSON, and its line in the file. `refusal` says why it is not sent."""

    number: int
    data: bytes
    refusal: str | None = None


class InvalidUserFileError(TenantryError):
    """The header of a CSV is not that of users."""


def read_chunks(file: BinaryIO, format_: Format) -> Iterator[list[Line]]:
    """The lines, in parts that the API takes at once. Raises InvalidUserFileError."""
    return _split(_read_ndjson(file) if format_ == "ndjson" else _read_csv(file))


def _split(lines: Iterable[Line]) -> Iterator[list[Line]]:
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


def _read_ndjson(file: BinaryIO) -> Iterator[Line]:
    for number, raw in enumerate(file, 1):
        line = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
        if data := line.strip():
            yield Line(number, data, _too_long(data))


def _read_csv(file: BinaryIO) -> Iterator[Line]:
    """A row that cannot be read is refused alone; the rows after it are read."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.reader(text, strict=True)
    header = _read_header(reader)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Line(reader.line_num, b"", f"is no CSV (RFC 4180): {error}")
            continue
        if cells:
            yield _line_of(reader.line_num, header, cells)


def _line_of(number: int, header: list[str], cells: list[str]) -> Line:
    if len(cells) != len(header):
        shown = json.dumps(cells).encode()
        return Line(number, shown, f"has {len(cells)} cells, and the header {len(header)}")
    data = json.dumps(_user_of(dict(zip(header, cells, strict=True)))).encode()
    if any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
        return Line(number, data, "is not UTF-8")
    return Line(number, data, _too_long(data))


def _too_long(data: bytes) -> str | None:
    return f"has more than {LINE_BYTES >> 10} KiB" if len(data) > LINE_BYTES else None


def _read_header(reader: Iterator[list[str]]) -> list[str]:
    """The names of the columns. Raises InvalidUserFileError."""
    try:
        names = next(reader, [])
    except csv.Error as error:
        raise InvalidUserFileError(f"the first line is no CSV (RFC 4180): {error}") from None
    metadata_names = [name for name in names if name.startswith(METADATA)]
    unknown = sorted(set(names) - set(COLUMNS) - set(metadata_names))
    if unknown:
        wrong = f"has what is no field of a user: {', '.join(map(ascii, unknown))}"
    elif "email" not in names:
        wrong = "has no email"
    elif len(set(names)) != len(names):
        wrong = "has a column twice"
    elif metadata_names and "metadata" in names:
        wrong = f"has both metadata and {metadata_names[0]}"
    else:
        return names
    raise InvalidUserFileError(f"the header {wrong}")


def _user_of(row: dict[str, str]) -> dict[str, Any]:
    """Empty cells are absent. A cell that is no flag or no JSON is left for the API to refuse."""
    user: dict[str, Any] = {}
    for name, cell in row.items():
        if cell == "":
            continue
        if name.startswith(METADATA):
            user.setdefault("metadata", {})[name.removeprefix(METADATA)] = cell
        elif name == "metadata":
            user["metadata"] = _json_or_text(cell)
        else:
            user[name] = _FLAGS.get(cell.lower(), cell) if name == "email_verified" else cell
    return user


def _json_or_text(cell: str) -> Any:
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell
