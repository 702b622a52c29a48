"""What tests make a receiver do, and what they wait for."""

import asyncio

from aiohttp import web
from contracts.events import CONTENT_TYPE
from support.raw_receiver import Peer, RawReceiver, Script
from support.waiting import until
from support.webhook_receiver import Receiver
from webhooks.worker.attempt import AttemptResult, send
from webhooks.worker.http_client import HttpClient
from webhooks.worker.request import WebhookRequest


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


async def send_to(
    client: HttpClient, receiver: RawReceiver, webhook: str = "whk_1", body: bytes = b"{}"
) -> AttemptResult:
    request = WebhookRequest(webhook, receiver.url, CONTENT_TYPE, "evt_1", body, [b"secret"])
    return await send(client, request, allow_private=True)


async def wait_until_closed(receiver: RawReceiver, count: int = 0) -> None:
    async def is_closed() -> bool:
        return receiver.open == count

    await until(is_closed, 3)


def answering(*answers: bytes) -> Script:
    """Each connection answers its requests with these in turn, and stays open."""

    async def script(peer: Peer) -> None:
        for answer in answers:
            await peer.read_request()
            await peer.push(answer)
        await peer.wait_until_closed()

    return script
