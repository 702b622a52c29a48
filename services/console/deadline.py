"""A page in time, whatever hangs behind it: what takes longer is answered with an error page."""

import asyncio
from typing import Any

from starlette.requests import Request


class Deadline:
    """An ASGI app in front of another. The time of a request with a body begins when it has come;
    a response that has begun, such as a file, may last. `late` answers in the place of the other.
    """

    def __init__(self, app: Any, seconds: float, late: Any) -> None:
        self._app = app
        self._seconds = seconds
        self._late = late

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        has_begun = False

        async def receive_and_wait() -> Any:
            message = await receive()
            if not has_begun:
                limit.reschedule(loop.time() + self._seconds)
            return message

        async def send_and_note(message: Any) -> None:
            nonlocal has_begun
            has_begun = True
            limit.reschedule(None)
            await send(message)

        try:
            async with asyncio.timeout(self._seconds) as limit:
                await self._app(scope, receive_and_wait, send_and_note)
        except TimeoutError:
            if has_begun or not limit.expired():
                raise
            response = await self._late(Request(scope, receive))
            await response(scope, receive, send)
