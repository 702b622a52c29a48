"""Saving a stream as a file that is there whole or not at all."""

import os
from collections.abc import Iterable
from pathlib import Path

from tenantry.failing import Misconfigured


def save(blocks: Iterable[bytes], path: Path) -> int:
    """How many bytes it has. It is read by its owner only: a trail tells of people."""
    draft = path.with_name(path.name + ".part")
    size = 0
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise Misconfigured(
            f"{draft} cannot be written: {error.strerror}", "Choose another file with --output."
        ) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            for block in blocks:
                file.write(block)
                size += len(block)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return size
