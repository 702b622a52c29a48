"""Pull requests to a durable consumer, each with an inbox of its own: what ends one ends no other.

nats-py has one inbox for all requests of a subscription. The status that ends a request may then be
taken for that of the next one: two requests are open, and a message that answers the first is held
back until the second ends, up to its whole timeout.
"""

import asyncio
import itertools
import json
from collections.abc import Callable
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import DEFAULT_PREFIX, Header, StatusCode

GRACE_SECONDS = 1.0
"""So much later than the server would, a request that has no answer at all is given up."""
ERROR_PAUSE_SECONDS = 0.1
"""After a refusal, as of a consumer that is gone: whoever asks again at once does not spin."""


class JetStream(JetStreamContext):
    """As nats-py has it, but for pull subscriptions: `on_subscribe` gets each."""

    def __init__(
        self, client: Client, on_subscribe: "Callable[[PullSubscription], None]", **options: Any
    ) -> None:
        super().__init__(client, **options)
        self._client = client
        self._on_subscribe = on_subscribe

    async def pull_subscribe_bind(
        self, consumer: str | None = None, stream: str | None = None, *_: Any, **options: Any
    ) -> "PullSubscription":
        """As nats-py; its limits of what is pending are left to the size of a batch."""
        name = options.get("durable") or options.get("name") or consumer
        if name is None or stream is None:
            raise ValueError("nats: a stream and a consumer are required")
        prefix: bytes | None = options.get("inbox_prefix")
        inbox = self._client.new_inbox()
        if prefix is not None:
            inbox = prefix.decode() + inbox.rpartition(".")[2]
        subscription = PullSubscription(
            self._client, f"{DEFAULT_PREFIX}.CONSUMER.MSG.NEXT.{stream}.{name}", inbox
        )
        await subscription.start()
        self._on_subscribe(subscription)
        return subscription


class PullSubscription(JetStreamContext.PullSubscription):
    """One caller at a time may `fetch`."""

    def __init__(self, client: Client, subject: str, inbox: str) -> None:
        self._client = client
        self._subject = subject
        self._inbox = inbox
        self._numbers = itertools.count()
        self._messages: list[Msg] = []
        self._current = ""
        self._wanted = 0
        self._ended: asyncio.Future[str] | None = None
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        self._subscription = await self._client.subscribe(f"{self._inbox}.*", cb=self._receive)

    async def unsubscribe(self) -> None:
        if self._subscription is not None:
            await self._subscription.unsubscribe()

    def expire(self) -> None:
        """The server has forgotten what was requested: the connection is a new one."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(StatusCode.REQUEST_TIMEOUT)

    async def fetch(
        self,
        batch: int = 1,
        timeout: float | None = 5,  # noqa: ASYNC109 - as nats-py has it
        heartbeat: float | None = None,  # noqa: ARG002
    ) -> list[Msg]:
        """What there is, at most `batch`; if there is nothing, what comes first within `timeout`.

        Raises TimeoutError of nats-py when nothing comes.
        """
        if not self._messages:
            status = await self._request(batch, timeout or 5.0)
            if not self._messages:
                if status not in (StatusCode.NO_MESSAGES, StatusCode.REQUEST_TIMEOUT):
                    await asyncio.sleep(ERROR_PAUSE_SECONDS)
                raise NatsTimeoutError
        messages, self._messages = self._messages[:batch], self._messages[batch:]
        return messages

    async def _request(self, batch: int, seconds: float) -> str:
        """Returns the status that ended it. The server sends one behind what there was, unless
        that is all that was wanted: with `no_wait` a request is over with the first messages, with
        `expires` it waits for them.
        """
        self._current, self._wanted = f"{self._inbox}.{next(self._numbers)}", batch
        self._ended = asyncio.get_running_loop().create_future()
        request = {"batch": batch, "expires": int(seconds * 1e9), "no_wait": True}
        await self._client.publish(self._subject, json.dumps(request).encode(), self._current)
        try:
            async with asyncio.timeout(seconds + GRACE_SECONDS):
                return await self._ended
        except TimeoutError:
            return StatusCode.REQUEST_TIMEOUT
        finally:
            self._ended = None

    async def _receive(self, message: Msg) -> None:
        status: str | None = None
        if message.reply:  # a message of the stream, to be acked there
            self._messages.append(message)
            if len(self._messages) >= self._wanted:
                status = StatusCode.NO_MESSAGES
        # Behind messages any status is the end, also that of a request that was given up.
        elif self._messages or message.subject == self._current:
            status = (message.headers or {}).get(Header.STATUS, "")
        if status is not None and self._ended is not None and not self._ended.done():
            self._ended.set_result(status)
