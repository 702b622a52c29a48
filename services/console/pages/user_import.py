"""Users from a file, NDJSON or CSV: part after part, with what became of each on the page."""

import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import BinaryIO

from fastapi import APIRouter
from starlette.datastructures import UploadFile
from starlette.responses import Response, StreamingResponse
from tenantry_client import api
from tenantry_client.errors import TenantryError
from tenantry_client.models import ImportResult
from tenantry_client.user_files import Format, InvalidUserFileError, Line, read_chunks

from console.forms import Errors
from console.web import TEMPLATES, SignedIn, Visit

FILE_BYTES = 64 * 1024 * 1024
"""A larger file is for the command, which can continue an import."""
REJECTED_LINES = 10_000
"""So many are offered for download; the counts go on."""
_MARK = "<!-- progress -->"

router = APIRouter(prefix="/users/import")


@dataclass
class Progress:
    """How far an import is. `rejected` are lines of the file with their reasons, as NDJSON."""

    line: int = 0
    created: int = 0
    rejected_count: int = 0
    rejected: list[bytes] = field(default_factory=list)

    def add(self, chunk: list[Line], results: list[ImportResult]) -> None:
        """`results` are of the lines that were sent."""
        following = iter(results)
        for line in chunk:
            result = None if line.refusal else next(following, None)
            if result is not None and result.status == 201:
                self.created += 1
                continue
            self.rejected_count += 1
            if len(self.rejected) < REJECTED_LINES:
                self.rejected.append(_reason(line, result))
        self.line = chunk[-1].number

    @property
    def download(self) -> str:
        """The rejected lines as a link that a browser saves."""
        return (
            "data:application/x-ndjson;base64," + base64.b64encode(b"".join(self.rejected)).decode()
        )


@router.get("")
async def show(visit: SignedIn) -> Response:
    return visit.page("user_import.html", errors=Errors())


@router.post("", max_body_size=FILE_BYTES)
async def run(visit: SignedIn) -> Response:
    form = await visit.form()
    upload = form.get("file")
    if not isinstance(upload, UploadFile) or not upload.size:
        return visit.page("user_import.html", 422, errors=Errors({"file": "Choose a file."}))
    is_csv = (upload.filename or "").lower().endswith(".csv")
    page = TEMPLATES.get_template("user_import_progress.html")
    before, after = page.render(request=visit.request, visit=visit, mark=_MARK).split(_MARK)
    parts = _import(visit, upload.file, "csv" if is_csv else "ndjson")

    async def body() -> AsyncIterator[str]:
        yield before
        async for part in parts:
            yield part
        yield after

    return StreamingResponse(body(), media_type="text/html; charset=utf-8")


async def _import(visit: Visit, file: BinaryIO, format_: Format) -> AsyncIterator[str]:
    """A line of HTML after each part. The same file again does nothing twice."""
    component = TEMPLATES.get_template("components/progress.html").make_module()
    digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    file.seek(0)
    progress, client = Progress(), visit.patient_api()
    try:
        for number, chunk in enumerate(read_chunks(file, format_), 1):
            lines = api.import_lines(line.data for line in chunk if line.refusal is None)
            request = lines.idempotency_key(f"import-{digest[:40]}-{number}")
            progress.add(chunk, request.read_lines(await client.send(request)))
            yield str(component.step(progress))  # type: ignore[attr-defined]
    except InvalidUserFileError as error:
        yield str(component.failure(str(error)))  # type: ignore[attr-defined]
    except TenantryError as error:
        detail = f"{error} Import the same file again: it continues from here."
        yield str(component.failure(detail))  # type: ignore[attr-defined]
    yield str(component.end(progress))  # type: ignore[attr-defined]


def _reason(line: Line, result: ImportResult | None) -> bytes:
    if result is None:
        error = {"field": "line", "code": "unreadable", "message": line.refusal or "was not sent"}
        result = ImportResult(line=0, status=422, code="validation_failed", errors=[error])
    given = result.model_copy(update={"line": line.number})
    return given.model_dump_json(exclude_unset=True).encode() + b"\n"
