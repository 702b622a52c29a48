"""Files that are replaced in one step: whole or not at all, and readable by their owner only."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


@contextmanager
def named(path: Path) -> Iterator[None]:
    """An error of the block names the file: that of a full disk alone does not."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


@contextmanager
def replace_file(path: Path) -> Iterator[BinaryIO]:
    """What is written replaces `path` when the block succeeds; a crash leaves the old file.

    A device or a pipe is written to. Raises OSError, for a folder at once.
    """
    with named(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        is_other = path.exists() and not path.is_file()
        with path.open("wb") if is_other else _replace(path) as file:
            yield file


@contextmanager
def _replace(path: Path) -> Iterator[BinaryIO]:
    draft = path.with_name(path.name + ".tmp")
    draft.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path: Path, content: Any) -> None:
    with replace_file(path) as file:
        file.write(json.dumps(content, indent=2).encode() + b"\n")
