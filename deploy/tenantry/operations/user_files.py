"""A file of users and its digest, which shows whether it was changed since an import began."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tenantry_client.user_files import (
    COLUMNS,
    METADATA,
    Format,
    InvalidUserFileError,
    Line,
    read_chunks,
)

from tenantry.errors import Misconfigured


@dataclass(frozen=True)
class UserFile:
    """Where it is, and what it was when it was read first."""

    path: Path
    format: Format
    sha256: str
    lines: int

    def chunks(self) -> Iterator[list[Line]]:
        """Raises Misconfigured for a CSV whose header is not that of users."""
        try:
            with self.path.open("rb") as file:
                yield from read_chunks(file, self.format)
        except InvalidUserFileError as error:
            raise Misconfigured(
                f"{self.path}: {error}",
                f"Its first line names columns, of {', '.join(COLUMNS)} and {METADATA}<name>, "
                "in UTF-8, as CSV (RFC 4180).",
            ) from None


def read_user_file(path: Path, format_: Format | None = None) -> UserFile:
    """Reads it once, for digest and lines. Without `format_`, the extension decides."""
    format_ = format_ or ("csv" if path.suffix.lower() == ".csv" else "ndjson")
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
    return UserFile(path, format_, digest.hexdigest(), lines)
