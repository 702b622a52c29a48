"""Callers that go on and on while something happens, and count every answer and every failure.

Half of them keep their connection, half make one for each request. None ever repeats a request.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from support.api import Api

CALLERS = 8
PAUSE_SECONDS = 0.05


class Load:
    """`outcomes` counts statuses and the names of what went wrong; `made` are users of a 201."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.made: list[str] = []
        self.stop = asyncio.Event()

    @property
    def failures(self) -> dict[str, int]:
        return {name: n for name, n in self.outcomes.items() if name not in ("200", "201")}

    async def call(self, url: str, key: str, *, keeps: bool) -> None:
        connector = TCPConnector(force_close=not keeps)
        async with ClientSession(connector=connector, timeout=ClientTimeout(total=15)) as http:
            # A client of aiohttp repeats a GET by itself when a kept connection has gone.
            http._retry_connection = False  # type: ignore[attr-defined]
            api = Api(http, url, key)
            while not self.stop.is_set():
                if user := await self._made(api):
                    await self._outcome(api, "GET", f"/v1/admin/users/{user}")
                await asyncio.sleep(PAUSE_SECONDS)

    async def _made(self, api: Api) -> str | None:
        body = {"email": f"u-{uuid4().hex}@example.com"}
        answer = await self._outcome(api, "POST", "/v1/admin/users", body)
        if answer is None:
            return None
        self.made.append(answer)
        return answer

    async def _outcome(self, api: Api, method: str, path: str, body: object = None) -> str | None:
        """The id of the user, if there was one."""
        try:
            answer = await api(method, path, body)
        except (ClientError, OSError, TimeoutError) as error:
            self.outcomes[f"{method} {type(error).__name__}"] += 1
            return None
        self.outcomes[str(answer.status)] += 1
        return str(answer.body["id"]) if answer.status in (200, 201) else None


@asynccontextmanager
async def under_load(url: str, key: str) -> AsyncIterator[Load]:
    load = Load()
    async with asyncio.TaskGroup() as group:
        for number in range(CALLERS):
            group.create_task(load.call(url, key, keeps=number % 2 == 0))
        try:
            yield load
        finally:
            load.stop.set()
