"""The load: writers that go on at a steady pace, whatever happens to the stack.

A writer makes one write at a time on rows of its own, so what each must look like is known. A write
without a final answer is repeated or left in doubt; the rows that a write in doubt may have changed
are not used again.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from chaos.writes import NEW, NO_CHANGE, OWNER, Attempt, Change, Row, Write
from support.api import Api

PACE_SECONDS = 0.16
PAUSE_SECONDS = (0.05, 0.4)
LONGEST_DOUBT = 90.0
REPEATS = 0.6
"""How often a writer repeats what has no final answer; else it leaves it."""
DOUBLES = 0.03
"""How often a write is sent twice at once, as by a client that does not wait."""
LIMITS = {"organizations": 10, "users": 12, "projects": 5, "webhooks": 2}
"""Rows of a kind that a writer has at most."""
PATTERNS = ("member.*", "project.*", "webhook.*", "user.created")

_numbers = count(1)


@dataclass
class Writer:
    """Its rows: `free` ones with their marks, and those of writes in doubt."""

    api: Api
    name: str
    chance: random.Random
    webhook_url: str
    free: dict[Row, str] = field(default_factory=dict)
    doubtful: set[Row] = field(default_factory=set)
    deleted: list[Row] = field(default_factory=list)

    def next_write(self) -> Write:
        """Any that is possible, by chance."""
        number = next(_numbers)
        while (write := self.chance.choice(_OPERATIONS)(self, number)) is None:
            pass
        return write

    def subscribe_to_all(self) -> Write:
        """A webhook for every event; it is nobody's to change."""
        number = next(_numbers)
        mark = f"all w{number}"
        body = {"description": mark, "url": f"{self.webhook_url}/all-{number}", "events": ["*"]}
        change = Change((("webhook.created", NEW),), {("webhooks", NEW): mark})
        return self.write(number, "POST /webhooks", body, 201, change)

    def pick(self, *kinds: str, but: str | None = None) -> str | None:
        """The identifier of a free row of these kinds, chosen by chance."""
        found = [row[1] for row, mark in self.free.items() if row[0] in kinds and mark != but]
        return self.chance.choice(found) if found else None

    def write(
        self,
        number: int,
        request: str,
        body: Any,
        expected: int,
        change: Change = NO_CHANGE,
        touched: Sequence[Row] | None = None,
    ) -> Write:
        """By default it touches the rows of its change that are there."""
        method, path = request.split()
        if touched is None:
            touched = [row for row in change.rows if NEW not in row[1]]
        path = "/v1/admin" + path
        return Write(number, self.api, method, path, body, expected, tuple(touched), change)


@dataclass
class Load:
    """What all writers did."""

    writes: list[Write] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)

    @property
    def answered(self) -> int:
        return self.answers.total()

    async def send(self, write: Write) -> Attempt:
        attempt = await write.send()
        self.answers[_class_of(attempt)] += 1
        return attempt

    @asynccontextmanager
    async def running(self, writers: Sequence[Writer]) -> AsyncIterator[None]:
        """While the body runs; a writer that fails ends it."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for writer in writers:
                tasks.create_task(self._write_until(stop, writer))
            try:
                yield
            finally:
                stop.set()

    async def _write_until(self, stop: asyncio.Event, writer: Writer) -> None:
        while not stop.is_set():
            due = time.monotonic() + PACE_SECONDS
            write = writer.next_write()
            self.writes.append(write)
            await self._carry_out(write, writer)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(0.0, due - time.monotonic()))

    async def _carry_out(self, write: Write, writer: Writer) -> None:
        taken = {row: writer.free.pop(row) for row in write.touched}
        writer.doubtful |= taken.keys()
        twice = writer.chance.random() < DOUBLES
        repeats = writer.chance.random() < REPEATS
        await asyncio.gather(*(self.send(write) for _ in range(2 if twice else 1)))
        started = time.monotonic()
        while repeats and write.final is None:
            assert time.monotonic() < started + LONGEST_DOUBT, f"no final answer: {write}"
            await asyncio.sleep(writer.chance.uniform(*PAUSE_SECONDS))
            await self.send(write)
        if write.final is None:
            return
        writer.doubtful -= taken.keys()
        for row, mark in (taken | dict(write.done.rows)).items():
            if mark is None:
                writer.deleted.append(row)
            else:
                writer.free[row] = mark


def _class_of(attempt: Attempt) -> str:
    if attempt.status is None:
        return "no answer"
    if attempt.status in (503, 504, 500):
        return str(attempt.status)
    if attempt.status >= 400 and not attempt.is_final:
        return "in flight"
    return f"{attempt.status // 100}xx"


def _create(writer: Writer, number: int) -> Write | None:
    """A resource; an organization with an owner, where there is a user."""
    has = Counter(kind for kind, _ in writer.free)
    wanted = [kind for kind, limit in LIMITS.items() if has[kind] < limit]
    if not wanted:
        return None
    kind = writer.chance.choice(wanted)
    mark = f"{writer.name} w{number}"
    slug = mark.replace(" ", "-")
    body: dict[str, Any] = {"name": mark, "slug": slug}
    if kind == "users":
        body = {"name": mark, "email": f"{slug}@example.com"}
    if kind == "webhooks":
        body = {"description": mark, "url": f"{writer.webhook_url}/{slug}"}
        body["events"] = [writer.chance.choice(PATTERNS)]
    events, rows = [(f"{kind[:-1]}.created", NEW)], {(kind, NEW): mark}
    touched = []
    if kind == "organizations" and (owner := writer.pick("users")) is not None:
        body["owner_id"] = owner
        events.append(("member.added", owner))
        rows["members", f"{NEW}/{owner}"] = OWNER
        touched = [("users", owner)]
    return writer.write(number, f"POST /{kind}", body, 201, Change(tuple(events), rows), touched)


def _update(writer: Writer, number: int) -> Write | None:
    kind = writer.chance.choice(list(LIMITS))
    if (found := writer.pick(kind)) is None:
        return None
    mark = f"{writer.name} w{number}"
    body = {"description" if kind == "webhooks" else "name": mark}
    change = Change(((f"{kind[:-1]}.updated", found),), {(kind, found): mark})
    return writer.write(number, f"PATCH /{kind}/{found}", body, 200, change)


def _delete(writer: Writer, number: int) -> Write | None:
    """A resource with all its memberships, each of which ends with an event."""
    kind = writer.chance.choice(list(LIMITS))
    found = writer.pick(kind)
    if found is None or any(row[0] == "members" and found in row[1] for row in writer.doubtful):
        return None
    members = [row for row in writer.free if row[0] == "members" and found in row[1]]
    removed = [("member.removed", identifier.split("/")[1]) for _, identifier in members]
    events = (*removed, (f"{kind[:-1]}.deleted", found))
    change = Change(events, dict.fromkeys([(kind, found), *members]))
    query = "?force=true" if kind == "users" else ""
    return writer.write(number, f"DELETE /{kind}/{found}{query}", None, 204, change)


def _add_member(writer: Writer, number: int) -> Write | None:
    """Refused where the user is a member already."""
    organization, user = writer.pick("organizations"), writer.pick("users")
    if organization is None or user is None:
        return None
    member = ("members", f"{organization}/{user}")
    if member in writer.doubtful:
        return None
    mark = f"w{number}:read"
    request = f"POST /organizations/{organization}/members"
    body = {"user_id": user, "permissions": [mark]}
    touched = [("organizations", organization), ("users", user)]
    if member in writer.free:
        return writer.write(number, request, body, 409, touched=[*touched, member])
    change = Change((("member.added", user),), {member: mark})
    return writer.write(number, request, body, 201, change, touched)


def _update_member(writer: Writer, number: int) -> Write | None:
    if (member := writer.pick("members", but=OWNER)) is None:
        return None
    organization, user = member.split("/")
    mark = f"w{number}:read"
    change = Change((("member.updated", user),), {("members", member): mark})
    request = f"PATCH /organizations/{organization}/members/{user}"
    return writer.write(number, request, {"permissions": [mark]}, 200, change)


def _remove_member(writer: Writer, number: int) -> Write | None:
    if (member := writer.pick("members", but=OWNER)) is None:
        return None
    organization, user = member.split("/")
    change = Change((("member.removed", user),), {("members", member): None})
    request = f"DELETE /organizations/{organization}/members/{user}"
    return writer.write(number, request, None, 204, change)


def _refused(writer: Writer, number: int) -> Write | None:
    """What the product must refuse: each time with the same answer."""
    organization = writer.pick("organizations")
    gone = [row for row in writer.deleted if row[0] in LIMITS]
    if organization is None or not gone:
        return None
    kind, identifier = writer.chance.choice(gone)
    if kind == "users":
        request, user = f"POST /organizations/{organization}/members", {"user_id": identifier}
        return writer.write(number, request, user, 422, touched=[("organizations", organization)])
    method = writer.chance.choice(["DELETE", "PATCH"])
    body = None if method == "DELETE" else dict[str, Any]()
    return writer.write(number, f"{method} /{kind}/{identifier}", body, 404)


_FREQUENT = [_create, _update] * 4 + [_add_member] * 3 + [_update_member, _delete] * 2
_OPERATIONS: list[Callable[[Writer, int], Write | None]] = [*_FREQUENT, _remove_member, _refused]
