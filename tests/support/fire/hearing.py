"""A customer's endpoint for many webhooks, told apart by path: which events each one heard."""

import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from support.receivers import Receiver, receiver

REFUSED = 50
"""Of so many events one is answered by a 500 when it comes for the first time."""


@dataclass
class Hearing:
    """`heard` counts, for each path, how often each event id came and was accepted."""

    url: str = ""
    heard: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    refused: set[tuple[str, str]] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    @property
    def deliveries(self) -> int:
        return sum(each.total() for each in self.heard.values())

    @property
    def repeats(self) -> int:
        """Deliveries of what was accepted before."""
        return sum(each.total() - len(each) for each in self.heard.values())


@asynccontextmanager
async def hearing() -> AsyncIterator[Hearing]:
    """A real HTTP server on loopback."""
    async with receiver() as endpoint:
        here = Hearing(endpoint.url)

        async def take(request: web.Request) -> web.StreamResponse:
            return _take(here, endpoint)

        endpoint.answer = take
        yield here


def _take(here: Hearing, endpoint: Receiver) -> web.Response:
    received = endpoint.received.pop()
    event = received.headers["webhook-id"]
    if json.loads(received.body)["id"] != event:
        here.wrong.append(f"{event} has the body {received.body[:200]!r}")
    first = (received.path, event)
    if int(event[-4:], 36) % REFUSED == 0 and first not in here.refused:
        here.refused.add(first)
        return web.Response(status=500)
    here.heard[received.path][event] += 1
    return web.Response(status=204)
