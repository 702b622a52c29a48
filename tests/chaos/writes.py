"""Writes and their answers: what was sent, what came back, what must be there because of it."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from support.api import Api

Row = tuple[str, str]
"""A kind and an identifier; that of a member is the organization's, a slash, the user's."""

NEW = "<new>"
"""Stands in a change for the identifier that the answer will give."""
OWNER = "owner"
"""The mark of a member that came with its organization, and stays with it."""

ANSWER_SECONDS = 6.0
NOT_FINAL = (408, 429)


@dataclass(frozen=True)
class Change:
    """What a write does when it is done: its events (type, resource), and its rows.

    Every row carries a mark of the write that touched it last; None is a row that is gone.
    """

    events: tuple[tuple[str, str], ...] = ()
    rows: Mapping[Row, str | None] = field(default_factory=dict)

    @property
    def event_types(self) -> Counter[str]:
        return Counter(event_type for event_type, _ in self.events)

    def with_id(self, made: str) -> "Change":
        return Change(
            tuple((event_type, each.replace(NEW, made)) for event_type, each in self.events),
            {(kind, each.replace(NEW, made)): mark for (kind, each), mark in self.rows.items()},
        )

    def is_visible(self, rows: Mapping[Row, str]) -> bool:
        """Whether all of it shows in the rows of the tenant; False when it changes no row."""
        marks = set(rows.values())
        return bool(self.rows) and all(
            row not in rows if mark is None else mark in marks
            for row, mark in self.rows.items()
            if mark != OWNER
        )


NO_CHANGE = Change()


@dataclass(frozen=True)
class Attempt:
    """`status` is None when no answer came."""

    request_id: str
    began: float
    ended: float
    status: int | None = None
    raw: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_erased(self) -> bool:
        """Whether the stored answer was erased with a person whom it showed."""
        return self.status == 404 and b"erased with a person" in self.raw

    @property
    def is_final(self) -> bool:
        """Whether it says that the write was done or refused."""
        if self.is_erased:
            return False
        if self.status is None or self.status >= 500 or self.status in NOT_FINAL:
            return False
        return b'"idempotency_in_flight"' not in self.raw

    @property
    def answer(self) -> tuple[Any, ...]:
        """What a repeat must give again."""
        return self.status, self.raw, self.headers.get("Location"), self.headers.get("ETag")

    @property
    def replayed(self) -> bool:
        return "Idempotent-Replayed" in self.headers

    def __str__(self) -> str:
        answer = "no answer" if self.status is None else f"{self.status} {self.raw[:200]!r}"
        return f"{self.request_id} {'replayed ' if self.replayed else ''}{answer}"


@dataclass
class Write:
    """One write with one Idempotency-Key, sent as often as needed.

    `expected` is the status of its final answer. `touched` are the rows that it may change.
    """

    number: int
    api: Api
    method: str
    path: str
    body: dict[str, Any] | None
    expected: int
    touched: tuple[Row, ...] = ()
    change: Change = NO_CHANGE
    attempts: list[Attempt] = field(default_factory=list)
    sent: int = 0

    @property
    def tenant(self) -> str:
        return self.api.tenant

    @property
    def final(self) -> Attempt | None:
        """The first final answer."""
        return next((each for each in self.attempts if each.is_final), None)

    @property
    def began(self) -> float:
        return min(each.began for each in self.attempts)

    @property
    def settled(self) -> float:
        """When its final answer was there; never, if there is none."""
        return self.final.ended if self.final is not None else float("inf")

    @property
    def done(self) -> Change:
        """What must be there: nothing when it was refused or is in doubt."""
        final = self.final
        if final is None or final.status not in (200, 201, 204):
            return NO_CHANGE
        body = json.loads(final.raw) if final.raw else {}
        return self.change.with_id(body.get("id", ""))

    async def send(self) -> Attempt:
        """Once more, as a request of its own with the same key."""
        self.sent += 1
        request_id, began = f"w{self.number}.{self.sent}", time.monotonic()
        key = f"k{self.number}"
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self.api(
                    self.method, self.path, self.body, idempotency_key=key, x_request_id=request_id
                )
        except (OSError, TimeoutError, aiohttp.ClientError):
            attempt = Attempt(request_id, began, time.monotonic())
        else:
            ended = time.monotonic()
            attempt = Attempt(request_id, began, ended, answer.status, answer.raw, answer.headers)
        self.attempts.append(attempt)
        return attempt

    def __str__(self) -> str:
        tried = "; ".join(map(str, self.attempts))
        return f"write {self.number} {self.method} {self.path} {self.body or ''}: {tried}"
