"""Every request to both, the product and the model; whatever they say otherwise is a failure."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlencode

from aiohttp import ClientSession
from hypothesis import note
from support.api import Answer, Api
from support.model import invitations, members, organizations, projects, tenants, users
from support.model.words import Again, Ask, Refused, Said, Sometime, Told
from support.model.world import OPERATOR, Route, World, answer
from support.waiting import until

ROUTES = [
    *tenants.ROUTES,
    *projects.ROUTES,
    *users.ROUTES,
    *organizations.ROUTES,
    *members.ROUTES,
    *invitations.ROUTES,
]
AGENT = "model"
T = TypeVar("T")


@dataclass
class Dialogue:
    """A world and the product that it is held against. Plain calls: rules are not coroutines."""

    url: str
    operator_key: str
    loop: asyncio.AbstractEventLoop
    http: ClientSession
    name: str = "m"
    world: World = field(default_factory=World)
    asked: int = 0
    tally: Counter[str] = field(default_factory=Counter)

    def ask(
        self,
        caller: str | None,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        query: dict[str, str] | None = None,
        *,
        routes: list[Route] = ROUTES,
        **headers: str,
    ) -> Answer:
        """What both said. `caller` is a tenant's id, the operator, or None."""
        self.asked += 1
        request_id = f"{self.name}.{self.asked}"
        query = query or {}
        target = path + ("?" + urlencode(query) if query else "")
        began = datetime.now(UTC)
        got = self.run(self.api(caller)(method, target, body, x_request_id=request_id, **headers))
        told = Told(got, began, datetime.now(UTC))
        note(f"{method} {target} {json.dumps(body)} {headers or ''} as {caller} -> {got.status}")
        self.tally[_kind(method, path, got)] += 1
        ask = Ask(method, path, body or {}, query, told, request_id)
        ask.if_match = headers.get("if_match")
        ask.idempotency_key = headers.get("idempotency_key")
        expected: Said | Again | Refused
        try:
            expected = answer(self.world, routes, caller, ask)
        except Refused as refused:
            expected = refused
        check(expected, got, path, request_id)
        return got

    def fault(self, field: str, caller: str, method: str, path: str, *rest: Any) -> Answer:
        """The same where the form is at fault: nothing happens, and the field is named."""

        def refuse(_: Any, __: Ask) -> Said:
            raise Refused("validation_failed", field=field)

        return self.ask(caller, method, path, *rest, routes=[Route(method, path, refuse)])

    def unchanged(self, caller: str, path: str, tag: str) -> None:
        """A read with the ETag of the one before."""
        got = self.run(self.api(caller)("GET", path, if_none_match=tag))
        assert (got.status, got.raw, got.headers["ETag"]) == (304, b"", tag), path

    def gone(self, path: str) -> None:
        """Waits until the operator cannot see it any more."""

        async def is_gone() -> bool:
            return (await self.api(OPERATOR)("GET", path)).status == 404

        self.run(until(is_gone))

    def api(self, caller: str | None) -> Api:
        key = self.operator_key if caller == OPERATOR else None
        if caller in self.world.secrets:
            key = self.world.secrets[caller]
        return Api(self.http, self.url, key, headers={"User-Agent": AGENT})

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)


def _kind(method: str, path: str, got: Answer) -> str:
    """Such as `POST users 409 email_taken`."""
    names = re.findall(r"(?<=/)(?:[a-z-]+)(?=/|$)", path.removeprefix("/v1/admin"))
    code = (got.body or {}).get("code", "") if got.status >= 400 else ""
    return " ".join([method, "/".join(names), str(got.status), code]).rstrip()


def check(expected: Said | Again | Refused, got: Answer, path: str, request_id: str) -> None:
    """Whether the product said what the model says."""
    if isinstance(expected, Again):
        assert (got.status, got.raw) == (expected.first.status, expected.first.raw)
        assert got.headers["Idempotent-Replayed"] == "true"
        return
    assert got.headers["X-Request-Id"] == request_id
    assert "Idempotent-Replayed" not in got.headers
    if isinstance(expected, Refused):
        _check_problem(expected, got, request_id)
        return
    if expected.or_later and got.status == 202:
        return
    assert got.status == expected.status, f"{expected}, but {got.status} {got.raw!r}"
    if expected.body is None:
        assert got.raw == b""
        return
    check_same(expected.body, got.body)
    if "version" in expected.body:
        tag = got.headers["ETag"]
        assert tag.strip('"').split(".")[0] == str(expected.body["version"]), tag
    if expected.created is not None:
        assert got.headers["Location"] == f"{path}/{expected.created}"


def _check_problem(expected: Refused, got: Answer, request_id: str) -> None:
    said = (got.status, (got.body or {}).get("code"))
    assert said in expected.allowed, f"{expected.allowed}, but {got.status} {got.raw!r}"
    assert got.headers["Content-Type"] == "application/problem+json"
    assert got.body["request_id"] == request_id
    if expected.field is not None:
        assert [each["field"] for each in got.body["errors"]] == [expected.field], got.raw


def check_same(expected: Any, got: Any, at: str = "body") -> None:
    """Strictly: the same members, and `true` is not 1. A time not seen yet is seen now."""
    if isinstance(expected, Sometime):
        expected.seen(got)
    elif isinstance(expected, dict) and isinstance(got, dict):
        assert expected.keys() == got.keys(), f"{at}: {sorted(expected)}, but {sorted(got)}"
        for name, value in expected.items():
            check_same(value, got[name], f"{at}.{name}")
    elif isinstance(expected, list) and isinstance(got, list):
        for number, (value, other) in enumerate(zip(expected, got, strict=False)):
            check_same(value, other, f"{at}[{number}]")
        rest = (expected[len(got) :], got[len(expected) :])
        assert rest == ([], []), f"{at}: not there {rest[0]}, too much {rest[1]}"
    else:
        assert type(expected) is type(got), f"{at}: {expected!r}, but {got!r}"
        assert expected == got, f"{at}: {expected!r}, but {got!r}"
