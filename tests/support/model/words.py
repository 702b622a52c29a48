"""What passes between a caller and the model: a request, an answer, a refusal, an event."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from support.api import Answer

STATUS = {
    "unauthenticated": 401,
    "insufficient_scope": 403,
    "tenant_suspended": 403,
    "not_found": 404,
    "slug_taken": 409,
    "email_taken": 409,
    "username_taken": 409,
    "external_id_taken": 409,
    "already_member": 409,
    "member_limit_reached": 409,
    "last_owner": 409,
    "invitation_pending": 409,
    "user_suspended": 409,
    "version_mismatch": 412,
    "validation_failed": 422,
    "idempotency_key_reused": 422,
}


class Refused(Exception):  # noqa: N818 - the contract's own word
    """The answer is a problem. Where several codes hold at once, any of them will do."""

    def __init__(self, *codes: str, status: int | None = None, field: str | None = None) -> None:
        super().__init__(*codes)
        self.allowed = {(status or STATUS[code], code) for code in codes}
        self.field = field


@dataclass(frozen=True)
class Said:
    """The answer is a success. `created` is the identifier at the end of Location; `or_later` that
    it may be 202 instead, and done soon.
    """

    status: int = 200
    body: Any = None
    created: str | None = None
    or_later: bool = False


@dataclass(frozen=True)
class Again:
    """The answer is one that was given before, byte for byte."""

    first: Answer


@dataclass(frozen=True)
class Event:
    """One change. `people` are the users whose data it carries: erased with one of them."""

    action: str
    resource_id: str
    actor: tuple[str, str | None]
    request_id: str
    changes: dict[str, Any] = field(default_factory=dict)
    people: frozenset[str] = frozenset()

    @property
    def service(self) -> str:
        """Whose log it is in: events of one owner arrive in the order of their changes."""
        kind = self.action.split(".")[0]
        return "projects" if kind in ("tenant", "project", "api_key") else "identity"


@dataclass
class Sometime:
    """A time between two, and exactly what it was shown as once it was shown."""

    began: datetime
    ended: datetime
    exactly: str | None = None

    def seen(self, text: str) -> None:
        assert text.endswith("Z"), text
        assert self.began <= moment(text) <= self.ended, (text, self)
        assert self.exactly in (None, text), (text, self)
        self.exactly = text


class Told:
    """What the product alone decides, read from its answer and looked at."""

    def __init__(self, answer: Answer, began: datetime, ended: datetime) -> None:
        self.answer = answer
        self.span = (began - timedelta(milliseconds=5), ended + timedelta(milliseconds=5))

    def at(self, *path: str) -> Any:
        value = self.answer.body
        for name in path:
            said = f"there is no {'.'.join(path)} in {self.answer.status} {self.answer.raw!r}"
            assert isinstance(value, dict), said
            assert name in value, said
            value = value[name]
        return value

    def text(self, *path: str) -> str:
        value = self.at(*path)
        assert isinstance(value, str), f"{'.'.join(path)} is {value!r}"
        assert value
        return value

    def id(self, prefix: str, *path: str) -> str:
        """A fresh identifier of that kind."""
        value = self.text(*(path or ("id",)))
        assert re.fullmatch(prefix + "_[0-7][0-9a-hjkmnp-tv-z]{25}", value), value
        return value

    def now(self, *path: str) -> str:
        """The time of this request."""
        value = self.text(*path)
        Sometime(*self.span).seen(value)
        return value

    def sometime(self) -> "Sometime":
        """The time of this request, where its answer does not say it."""
        return Sometime(*self.span)


@dataclass
class Ask:
    """A request as the model reads it; `ids` are those of the path, `actor` who the caller is."""

    method: str
    path: str
    body: dict[str, Any]
    query: Mapping[str, str]
    told: Told
    request_id: str
    ids: tuple[str, ...] = ()
    actor: tuple[str, str | None] = ("system", None)
    if_match: str | None = None
    idempotency_key: str | None = None

    @property
    def dry_run(self) -> bool:
        return self.query.get("dry_run") == "true"

    def event(
        self, action: str, resource_id: str, changes: Any = None, people: tuple[str, ...] = ()
    ) -> Event:
        """What this request tells of."""
        about = {each for each in (*people, resource_id, self.actor[1]) if each}
        return Event(
            action,
            resource_id,
            self.actor,
            self.request_id,
            changes or {},
            frozenset(each for each in about if each.startswith("usr_")),
        )


def moment(text: str | Sometime) -> datetime:
    """An RFC 3339 time in UTC."""
    if isinstance(text, Sometime):
        if text.exactly is None:
            return text.began
        text = text.exactly
    return datetime.fromisoformat(text).astimezone(UTC)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are one: `true` is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
