"""Imports users: chunk after chunk to the bulk endpoint, so that nothing is done twice.

Each chunk has an Idempotency-Key of the file's digest and its number, and `FILE.progress` is
written after it. So an interrupted import continues in the next run, which at worst repeats one
request. Rejected lines go to `FILE.rejected.ndjson` with their reasons.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tenantry_client import Client, api
from tenantry_client.models import ImportResult
from tenantry_client.retry import TRANSIENT_CODES
from tenantry_client.user_files import LINE_BYTES, Line

from tenantry.atomic_file import named, write_json
from tenantry.errors import CommandFailed, Misconfigured
from tenantry.operations.user_files import UserFile

TRIES = 9
MAX_WAIT = 10.0
SHOWN_BYTES = 4096


@dataclass
class Progress:
    """How far an import is. `rejected_bytes` is the length of the file of rejected lines."""

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


def load_progress(client: Client, users: UserFile) -> Progress:
    """Of a new import, or of one that was interrupted. Raises Misconfigured if that is another."""
    tenant_id = client(api.who_am_i()).tenant.id
    file = progress_file(users.path)
    fix = f"Remove {file} to start again."
    try:
        progress = Progress(**json.loads(file.read_text()))
    except FileNotFoundError:
        return Progress(users.sha256, tenant_id)
    except (OSError, ValueError, TypeError):
        raise Misconfigured(f"{file} cannot be read", fix) from None
    if progress.sha256 != users.sha256:
        raise Misconfigured(f"{users.path} was changed since its import started", fix)
    if progress.tenant_id != tenant_id:
        raise Misconfigured(
            f"the import of {users.path} was started for {progress.tenant_id}, "
            f"and this key is of {tenant_id}",
            f"Use a key of {progress.tenant_id}, or remove {file} to start again.",
        )
    return progress


def import_users(
    client: Client, users: UserFile, progress: Progress, report: Callable[[Progress], None]
) -> None:
    """Sends what was not sent yet and calls `report` after each chunk.

    Raises CommandFailed or TenantryError; the import can then be run again.
    """
    with (
        named(rejected_file(users.path)),
        _open_rejected(users.path, progress.rejected_bytes) as rejected,
    ):
        report(progress)
        for number, chunk in enumerate(users.chunks(), 1):
            if number <= progress.chunks:
                continue
            key = f"import-{users.sha256[:40]}-{number}"
            sent = [line for line in chunk if line.refusal is None]
            results, replayed = _import_chunk(client, key, sent)
            _count(results, chunk, progress, rejected)
            progress.replayed += len(sent) if replayed else 0
            progress.chunks, progress.line = number, chunk[-1].number
            rejected.flush()
            os.fsync(rejected.fileno())
            progress.rejected_bytes = rejected.tell()
            write_json(progress_file(users.path), asdict(progress))
            report(progress)
    progress_file(users.path).unlink(missing_ok=True)
    if not progress.rejected:
        rejected_file(users.path).unlink()


def _import_chunk(client: Client, key: str, chunk: list[Line]) -> tuple[list[ImportResult], bool]:
    """A result for each line, and whether an earlier run had sent them.

    If some lines failed because a part of the product was down, all are sent again: those that were
    done get the same result as before.
    """
    if not chunk:
        return [], False
    request = api.import_lines(line.data for line in chunk).idempotency_key(key)
    was_sent_before = None
    for tries in range(TRIES):
        response = client.send(request)
        if was_sent_before is None:
            was_sent_before = response.headers.get("Idempotent-Replayed") == "true"
        results = request.read_lines(response)
        if len(results) == len(chunk) and not any(map(_is_transient, results)):
            return results, was_sent_before
        time.sleep(min(0.25 * 2**tries, MAX_WAIT))
    raise CommandFailed(
        "the product takes no more lines",
        "Run `tenantry doctor`; then run the import again: it continues from here.",
    )


def _is_transient(result: ImportResult) -> bool:
    return result.status >= 500 or result.code in TRANSIENT_CODES


def _count(
    results: list[ImportResult], chunk: list[Line], progress: Progress, rejected: BinaryIO
) -> None:
    """`results` are of the lines that were sent."""
    following = iter(results)
    for line in chunk:
        result = _refused(line.refusal) if line.refusal is not None else next(following)
        if result.status == 201:
            progress.created += 1
            continue
        progress.rejected += 1
        given = result.model_dump(mode="json", exclude_unset=True)
        text = json.dumps({**given, "line": line.number, "input": _input(line)})
        rejected.write(text.encode() + b"\n")


def _refused(refusal: str) -> ImportResult:
    """As the API would have said it."""
    error = {"field": "line", "code": "unreadable", "message": refusal}
    return ImportResult(line=0, status=422, code="validation_failed", errors=[error])


def _input(line: Line) -> Any:
    """The line as JSON, or as text, and only the beginning of one that is too long."""
    try:
        if len(line.data) > LINE_BYTES:
            raise ValueError
        return json.loads(line.data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return line.data[:SHOWN_BYTES].decode(errors="replace")


def _refuse_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are no JSON


def _open_rejected(path: Path, size: int) -> BinaryIO:
    """The file of rejected lines, cut to the size that the progress knows. It has personal data."""
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
