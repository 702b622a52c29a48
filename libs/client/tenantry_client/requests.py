"""Requests as values: what is asked, and how its answer is read. Nothing here sends anything."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Self, TypeVar, cast
from urllib.parse import quote
from uuid import uuid4

import httpx
from contracts.models import Body, Pagination, Query
from pydantic import BaseModel, ValidationError

from tenantry_client.errors import NotModifiedError, UnexpectedAnswerError

T = TypeVar("T")
P = TypeVar("P", bound=BaseModel)
Item = TypeVar("Item", bound=BaseModel)


@dataclass(frozen=True)
class Content:
    """A body that is no JSON object."""

    data: bytes
    media_type: str


@dataclass(frozen=True)
class Request(Generic[T]):
    """A request whose answer is a `T`.

    `path` is as in the OpenAPI document, `ids` fill it in order; `answers` has the model of each
    status of success, None where there is no body.
    """

    method: str
    path: str
    answers: Mapping[int, type[BaseModel] | None]
    ids: tuple[str, ...] = ()
    query: Query | None = None
    body: Body | Content | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def idempotency_key(self, key: str) -> Self:
        """With a key of the caller's own, for repeats beyond those that the client makes."""
        return self._with("Idempotency-Key", key)

    def if_match(self, version: int) -> Self:
        """Only if the resource still has that version. Otherwise: VersionMismatchError."""
        return self._with("If-Match", f'"{version}"')

    def if_none_match(self, version: int) -> Self:
        """Only if the resource has another version. Otherwise: NotModifiedError."""
        return self._with("If-None-Match", f'"{version}"')

    def request_id(self, request_id: str) -> Self:
        """To be found by it in the audit trail."""
        return self._with("X-Request-Id", request_id)

    def message(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """The HTTP message, as it is sent at every try."""
        headers = dict(self.headers)
        if self.method != "GET":
            headers.setdefault("Idempotency-Key", str(uuid4()))
        data = None
        if isinstance(self.body, Content):
            data, headers["Content-Type"] = self.body.data, self.body.media_type
        elif self.body is not None:
            # What the caller has not set is for the product to choose, and in a patch to keep.
            data = self.body.model_dump_json(exclude_unset=True, by_alias=True).encode()
            headers["Content-Type"] = "application/json"
        return http.build_request(
            self.method, self.target, params=self.parameters, content=data, headers=headers
        )

    @property
    def target(self) -> str:
        parts = iter(self.ids)
        return "/".join(
            quote(next(parts), safe="") if part.startswith("{") else part
            for part in self.path.split("/")
        )

    @property
    def parameters(self) -> dict[str, str]:
        if self.query is None:
            return {}
        given = self.query.model_dump(mode="json", exclude_unset=True, exclude_none=True)
        return {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in given.items()
        }

    def read(self, response: httpx.Response) -> T:
        """What a success says. Raises NotModifiedError, UnexpectedAnswerError."""
        if response.status_code == httpx.codes.NOT_MODIFIED:
            raise NotModifiedError("the resource has not changed")
        if response.status_code not in self.answers:
            raise UnexpectedAnswerError(f"{response.status_code} to {self.method} {self.path}")
        model = self.answers[response.status_code]
        if model is None:
            return cast("T", None)
        return cast("T", understood(model, response.content))

    def _with(self, name: str, value: str) -> Self:
        return replace(self, headers={**self.headers, name: value})


@dataclass(frozen=True)
class Pages(Request[P], Generic[P, Item]):
    """A request for a page of a list, which stands under `name` beside `pagination`."""

    name: str = ""

    def items(self, page: P) -> list[Item]:
        return cast("list[Item]", getattr(page, self.name))

    def after(self, page: P) -> Self | None:
        """The request for the next page; None when that was the last."""
        pagination: Pagination = page.pagination  # type: ignore[attr-defined]
        if pagination.next_cursor is None:
            return None
        assert self.query is not None, "a list always has a query"
        given = {name: getattr(self.query, name) for name in self.query.model_fields_set}
        given.pop("page", None)
        cursor = {**given, "cursor": pagination.next_cursor}
        return replace(self, query=type(self.query).model_validate(cursor))


@dataclass(frozen=True)
class Lines(Request[None], Generic[Item]):
    """A request that is answered by a stream of lines, each of them JSON after `prefix`."""

    item: type[Item] = field(kw_only=True)
    prefix: bytes = b""

    def read_line(self, line: bytes) -> Item | None:
        """The item of a line; None for one that has none."""
        if not line.startswith(self.prefix) or not line.strip():
            return None
        return understood(self.item, line.removeprefix(self.prefix))


class Splitter:
    """Puts lines together from blocks. Only a line feed ends one: text may hold others."""

    def __init__(self) -> None:
        self._rest = b""

    def lines(self, block: bytes) -> Iterator[bytes]:
        *whole, self._rest = (self._rest + block).split(b"\n")
        yield from whole

    def rest(self) -> bytes:
        """What came after the last line feed."""
        return self._rest


def understood(model: type[Item], data: Any) -> Item:
    """The model of JSON text. Fields that a newer product has added are let go."""
    try:
        return model.model_validate_json(data, extra="ignore")
    except ValidationError as error:
        raise UnexpectedAnswerError(f"no {model.__name__}: {error}") from error
