"""A form that was sent: whether a page of this host has sent it, and what is kept of it, so that
nothing typed is lost whatever fails then.

It is never sent again by itself: the person sees it, and sends it. Forms of other hosts are not
kept.
"""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import Request

FORM_TOKEN = "form_token"
IDEMPOTENCY_KEY = "idempotency_key"
MAX_FIELDS = 500
LARGEST = 256 * 1024
"""As much as the API takes; the fields of a larger form would be refused there."""
_FORM = "application/x-www-form-urlencoded"
_NOT_KEPT = ("/sign-in", "/sign-out", "/leave")
_HIDDEN = frozenset({FORM_TOKEN, IDEMPOTENCY_KEY, "before", "version"})


class KeptForm(BaseModel):
    """Where it is sent to, its fields in their order, and the token that it came with.

    The token is checked when the form is sent again, and of no use in another session.
    """

    path: str
    fields: Annotated[list[tuple[str, str]], Field(max_length=MAX_FIELDS)]
    form_token: str = Field("", exclude=True)

    @property
    def typed(self) -> list[tuple[str, str]]:
        """What a person sees of it."""
        return [(name, value) for name, value in self.fields if name not in _HIDDEN and value]

    @property
    def is_done_once(self) -> bool:
        """Whether sending it again does nothing twice."""
        return any(name == IDEMPOTENCY_KEY and value for name, value in self.fields)


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
    form = await request.form(max_fields=MAX_FIELDS)
    fields = [
        (name, value)
        for name, value in form.multi_items()
        if not isinstance(value, UploadFile) and name != FORM_TOKEN
    ]
    return KeptForm(path=path, fields=fields, form_token=str(form.get(FORM_TOKEN, "")))


def read_kept(text: object) -> KeptForm | None:
    """What the sign-in page has carried; None for anything else."""
    try:
        kept = KeptForm.model_validate_json(str(text or ""))
    except ValidationError:
        return None
    return kept if local_path(kept.path) == kept.path else None


def came_from_here(request: Request) -> bool:
    """Whether a browser says that a page of this host has sent the request."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def local_path(target: object) -> str:
    """A path of the console to go on to; the overview for everything else."""
    is_local = (
        isinstance(target, str)
        and target.startswith("/")
        and not target.startswith(("//", "/\\"))
        and target.isprintable()
    )
    return str(target) if is_local else "/"
