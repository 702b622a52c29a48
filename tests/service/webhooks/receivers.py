"""What tests make a receiver do, and what they wait for."""

import asyncio

from aiohttp import web
from support.waiting import until
from support.webhook_receiver import Receiver


def hold_responses(
    receiver: Receiver, status: int = 204, *, only_first: bool = False
) -> asyncio.Event:
    """The receiver responds with `status` only once the event is set; to others than the first
    request at once if `only_first`.
    """
    release = asyncio.Event()

    async def respond(_: web.Request) -> web.Response:
        if not only_first or len(receiver.received) == 1:
            await release.wait()
        return web.Response(status=status)

    receiver.answer = respond
    return release


async def wait_for_requests(receiver: Receiver, count: int, seconds: float = 20) -> None:
    """Returns once the receiver has got at least so many requests."""

    async def has_enough() -> bool:
        return len(receiver.received) >= count

    await until(has_enough, seconds)
