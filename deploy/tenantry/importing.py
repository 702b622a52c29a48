"""Importing users: chunk after chunk to the bulk endpoint, so that nothing is done twice.

Each chunk has an Idempotency-Key of the file's digest and its number, and `FILE.progress` is
written after it: whatever interrupts an import, the next run goes on, and at worst asks again for
an answer that was already given. Bad lines go to `FILE.rejected.ndjson` with their reasons.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tenantry.api import LONGEST_WAIT, PASSING, TRIES, Api
from tenantry.datafolder import write_json
from tenantry.failing import Failed, Misconfigured
from tenantry.reading import Line, Source

BULK = "/v1/admin/users/bulk"
_REPLAYED = "idempotent-replayed"


@dataclass
class Progress:
    """How far an import has come. `rejected_bytes`: how long the file of bad lines is by then."""

    sha256: str
    tenant_id: str
    chunks: int = 0
    line: int = 0
    created: int = 0
    rejected: int = 0
    replayed: int = 0
    rejected_bytes: int = 0


def progress_file(path: Path) -> Path:
    return path.with_name(path.name + ".progress")


def rejected_file(path: Path) -> Path:
    return path.with_name(path.name + ".rejected.ndjson")


def begin(api: Api, source: Source) -> Progress:
    """A new import, or the one that was interrupted. Raises Misconfigured if it is another."""
    tenant_id = api.get("/v1/admin/tenant")["tenant"]["id"]
    file = progress_file(source.path)
    fix = f"Remove {file} to begin anew."
    try:
        progress = Progress(**json.loads(file.read_text()))
    except FileNotFoundError:
        return Progress(source.sha256, tenant_id)
    except (OSError, ValueError, TypeError):
        raise Misconfigured(f"{file} cannot be read", fix) from None
    if progress.sha256 != source.sha256:
        raise Misconfigured(f"{source.path} was changed since its import began", fix)
    if progress.tenant_id != tenant_id:
        raise Misconfigured(
            f"the import of {source.path} was begun for {progress.tenant_id}, "
            f"and this key is of {tenant_id}",
            f"Use a key of {progress.tenant_id}, or remove {file} to begin anew.",
        )
    return progress


def run(api: Api, source: Source, progress: Progress, told: Callable[[Progress], None]) -> None:
    """Sends what is not sent yet; `told` after each chunk. Raises Failed, to be run again."""
    with _bad_lines(source.path, progress.rejected_bytes) as bad:
        told(progress)
        for number, chunk in enumerate(source.chunks(), 1):
            if number <= progress.chunks:
                continue
            results, replayed = _send(api, f"import-{source.sha256[:40]}-{number}", chunk)
            _take(results, chunk, progress, bad)
            progress.replayed += len(chunk) if replayed else 0
            progress.chunks, progress.line = number, chunk[-1].number
            bad.flush()
            os.fsync(bad.fileno())
            progress.rejected_bytes = bad.tell()
            write_json(progress_file(source.path), asdict(progress))
            told(progress)
    progress_file(source.path).unlink(missing_ok=True)
    if not progress.rejected:
        rejected_file(source.path).unlink()


def _send(api: Api, key: str, chunk: list[Line]) -> tuple[list[dict[str, Any]], bool]:
    """A result for each line, and whether they were given before.

    Lines that fail because a part of the product is away are asked for again with all others: those
    that are done answer as before.
    """
    headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": key}
    data = b"".join(line.data + b"\n" for line in chunk)
    first = api.send("POST", BULK, data, headers)
    answer = first
    for tried in range(TRIES):
        results = [json.loads(line) for line in answer.body.splitlines()]
        if len(results) == len(chunk) and not any(map(_passes, results)):
            return results, first.headers.get(_REPLAYED) == "true"
        time.sleep(min(0.25 * 2**tried, LONGEST_WAIT))
        answer = api.send("POST", BULK, data, headers)
    raise Failed(
        "the product takes no more lines",
        "Run `tenantry doctor`; then run the import again: it goes on from here.",
    )


def _passes(result: dict[str, Any]) -> bool:
    return result["status"] >= 500 or result.get("code") in PASSING


def _take(
    results: list[dict[str, Any]], chunk: list[Line], progress: Progress, bad: BinaryIO
) -> None:
    for line, result in zip(chunk, results, strict=True):
        if result["status"] == 201:
            progress.created += 1
        else:
            progress.rejected += 1
            bad.write(json.dumps({**result, "line": line.number, "input": _given(line)}).encode())
            bad.write(b"\n")


def _given(line: Line) -> Any:
    try:
        return json.loads(line.data)
    except ValueError:
        return line.data.decode(errors="replace")


def _bad_lines(path: Path, size: int) -> BinaryIO:
    """The file of bad lines, cut to what the progress knows of; it holds personal data."""
    try:
        file = os.open(rejected_file(path), os.O_WRONLY | os.O_CREAT, 0o600)
    except OSError as error:
        raise Misconfigured(
            f"{rejected_file(path)} cannot be written: {error.strerror}",
            "Copy the file to a folder that you may write to.",
        ) from None
    os.ftruncate(file, size)
    os.lseek(file, size, os.SEEK_SET)
    return os.fdopen(file, "wb")
