"""Requests as values: what to send, and how to read the response. Nothing here sends anything."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Self, TypeVar, cast
from urllib.parse import quote
from uuid import uuid4

import httpx
from contracts.models import Body, Pagination, Query
from pydantic import BaseModel, ValidationError

from tenantry_client.errors import (
    NotModifiedError,
    NotSentError,
    UnexpectedResponseError,
    refuse_unsendable,
)

T = TypeVar("T")
P = TypeVar("P", bound=BaseModel)
Item = TypeVar("Item", bound=BaseModel)


@dataclass(frozen=True)
class RawBody:
    """A body that is not a JSON object."""

    data: bytes
    media_type: str


@dataclass(frozen=True)
class Request(Generic[T]):
    """A request whose result is a `T`.

    `path` is that of the OpenAPI document, `ids` are its parameters in order; `responses` has the
    model of each status of success, None where there is no body.
    """

    method: str
    path: str
    responses: Mapping[int, type[BaseModel] | None]
    ids: tuple[str, ...] = ()
    query: Query | None = None
    body: Body | RawBody | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def idempotency_key(self, key: str) -> Self:
        """With a key of your own, to repeat the request later than the client does by itself."""
        return self._with("Idempotency-Key", key)

    def if_match(self, version: int) -> Self:
        """Only if the resource still has that version; else VersionMismatchError is raised."""
        return self._with("If-Match", f'"{version}"')

    def if_none_match(self, version: int) -> Self:
        """Only if the resource has another version; else NotModifiedError is raised."""
        return self._with("If-None-Match", f'"{version}"')

    def no_cache(self) -> Self:
        """A list with all that was written before: not from a read replica."""
        return self._with("Cache-Control", "no-cache")

    def request_id(self, request_id: str) -> Self:
        """The id by which the request is found in the audit trail."""
        return self._with("X-Request-Id", request_id)

    def build(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """The HTTP request, which is the same in every try. Raises NotSentError."""
        with refuse_unsendable():
            return self._build(http)

    def _build(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        headers = dict(self.headers)
        if self.method != "GET":
            headers.setdefault("Idempotency-Key", str(uuid4()))
        data = None
        if isinstance(self.body, RawBody):
            data, headers["Content-Type"] = self.body.data, self.body.media_type
        elif self.body is not None:
            data = to_json(self.body)
            headers["Content-Type"] = "application/json"
        return http.build_request(
            self.method, self.url_path, params=self.query_parameters, content=data, headers=headers
        )

    @property
    def url_path(self) -> str:
        parts = iter(self.ids)
        return "/".join(
            quote(next(parts), safe="") if part.startswith("{") else part
            for part in self.path.split("/")
        )

    @property
    def query_parameters(self) -> dict[str, str]:
        if self.query is None:
            return {}
        values = self.query.model_dump(
            mode="json", by_alias=True, exclude_unset=True, exclude_none=True, warnings=False
        )
        return {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in values.items()
        }

    def read(self, response: httpx.Response) -> T:
        """The result. Raises NotModifiedError, UnexpectedResponseError."""
        self.check_status(response)
        model = self.responses[response.status_code]
        if model is None:
            return cast("T", None)
        return cast("T", parse(model, response.content))

    def check_status(self, response: httpx.Response) -> None:
        """Raises NotModifiedError, UnexpectedResponseError if it is not one of success."""
        status = response.status_code
        if status == httpx.codes.NOT_MODIFIED:
            raise NotModifiedError("the resource has not changed")
        if status not in self.responses:
            raise UnexpectedResponseError(f"{status} to {self.method} {self.path}", status)

    def _with(self, name: str, value: str) -> Self:
        return replace(self, headers={**self.headers, name: header_value(name, value)})


@dataclass(frozen=True)
class Text(Request[str]):
    """A request whose response is plain text."""

    def read(self, response: httpx.Response) -> str:
        self.check_status(response)
        return response.text


@dataclass(frozen=True)
class Pages(Request[P], Generic[P, Item]):
    """A request for a page of a list, which stands under `name` beside `pagination`."""

    name: str = ""

    def items(self, page: P) -> list[Item]:
        return cast("list[Item]", getattr(page, self.name))

    def after(self, page: P) -> Self | None:
        """The request for the next page; None after the last one."""
        pagination: Pagination = page.pagination  # type: ignore[attr-defined]
        if pagination.next_cursor is None:
            return None
        assert self.query is not None, "a list always has a query"
        values = {name: getattr(self.query, name) for name in self.query.model_fields_set}
        values.pop("page", None)
        values["cursor"] = pagination.next_cursor
        # The API has accepted the other values already, also those that were never validated here.
        query = type(self.query).model_construct(_fields_set=set(values), **values)
        return replace(self, query=query)


@dataclass(frozen=True)
class Lines(Request[None], Generic[Item]):
    """A request whose response is a stream of lines, each of them JSON after `prefix`."""

    item: type[Item] = field(kw_only=True)
    prefix: bytes = b""

    def read_line(self, line: bytes) -> Item | None:
        """The item of a line; None if the line has none."""
        if not line.startswith(self.prefix) or not line.strip():
            return None
        return parse(self.item, line.removeprefix(self.prefix))

    def read_lines(self, response: httpx.Response) -> list[Item]:
        """The items of a response that was read as a whole."""
        self.check_status(response)
        items = map(self.read_line, response.content.split(b"\n"))
        return [item for item in items if item is not None]


class LineSplitter:
    """Makes lines of blocks. Only a line feed ends a line: text may contain other separators."""

    def __init__(self) -> None:
        self._rest = b""

    def lines(self, block: bytes) -> Iterator[bytes]:
        *complete, self._rest = (self._rest + block).split(b"\n")
        yield from complete

    def rest(self) -> bytes:
        """What came after the last line feed."""
        return self._rest


def header_value(name: str, value: str) -> str:
    """Raises NotSentError, which does not show the value: it may be a secret."""
    if value.isascii() and value.isprintable() and value == value.strip():
        return value
    raise NotSentError(f"{name} must be printable ASCII, without spaces at either end")


def to_json(body: Body) -> bytes:
    """The fields that were set: others are the product's to choose, or in an update to keep.

    Raises NotSentError for values that are not JSON.
    """
    with refuse_unsendable():
        return body.model_dump_json(exclude_unset=True, by_alias=True, warnings=False).encode()


def parse(model: type[Item], data: Any) -> Item:
    """The model of JSON text. Fields that a newer product has added are ignored."""
    try:
        return model.model_validate_json(data, extra="ignore")
    except ValidationError as error:
        raise UnexpectedResponseError(f"no {model.__name__}: {error}") from error
