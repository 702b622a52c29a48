"""A form that came when nobody was signed in any more: what was typed is kept until somebody is.

It is never sent by itself: the person sees it, and sends it. Only a form of this host is kept.
"""

from typing import Annotated

from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import Request

from console.web import FORM_TOKEN, IDEMPOTENCY_KEY, came_from_here, local_path

LARGEST = 64 * 1024
_MAX_FIELDS = 500
_FORM = "application/x-www-form-urlencoded"
_NOT_KEPT = ("/sign-in", "/sign-out", "/leave")
_HIDDEN = frozenset({FORM_TOKEN, IDEMPOTENCY_KEY, "before", "version"})


class KeptForm(BaseModel):
    """Where it is sent to, and its fields in their order."""

    path: str
    fields: Annotated[list[tuple[str, str]], Field(max_length=_MAX_FIELDS)]

    @property
    def typed(self) -> list[tuple[str, str]]:
        """What a person sees of it."""
        return [(name, value) for name, value in self.fields if name not in _HIDDEN and value]


async def keep_form(request: Request) -> KeptForm | None:
    """The form of a POST; None for what is no such form, or is too large."""
    path = request.url.path
    size = request.headers.get("content-length", "")
    is_form = request.headers.get("content-type", "").partition(";")[0].strip() == _FORM
    if request.method != "POST" or path in _NOT_KEPT or not is_form:
        return None
    if not size.isascii() or not size.isdigit() or int(size) > LARGEST:
        return None
    if not came_from_here(request):
        return None
    form = await request.form(max_fields=_MAX_FIELDS)
    fields = [
        (name, value)
        for name, value in form.multi_items()
        if not isinstance(value, UploadFile) and name != FORM_TOKEN
    ]
    return KeptForm(path=path, fields=fields)


def read_kept(text: object) -> KeptForm | None:
    """What the sign-in page has carried; None for anything else."""
    try:
        kept = KeptForm.model_validate_json(str(text or ""))
    except ValidationError:
        return None
    return kept if local_path(kept.path) == kept.path else None
