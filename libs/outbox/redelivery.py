"""The order of the stream after a break: what is delivered again comes before what is newer.

After a start, a reconnect or a gap, messages may have been sent that never came or were never
acked. The server sends them again after the ack wait; until then newer ones are held back.
"""

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from chassis.streams import ACK_WAIT
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import ConsumerInfo

WAIT_SECONDS = ACK_WAIT + 2.0


class Redelivery:
    """The messages of one durable consumer. `consumer_info` tells how the server sees it."""

    def __init__(self, consumer_info: Callable[[], Awaitable[ConsumerInfo]]) -> None:
        self._consumer_info = consumer_info
        self._is_expected = True
        self._next_number = 0
        self._held: dict[int, Msg] = {}
        self._deadline = 0.0

    @property
    def is_holding(self) -> bool:
        """Whether messages are held back."""
        return bool(self._held)

    def expect(self) -> None:
        """A connection broke: some of what was sent may never have come."""
        self._is_expected = True

    async def in_order(self, messages: Sequence[Msg]) -> Sequence[Msg]:
        """Those that may be processed now, oldest first; none while older ones are missing."""
        self._note_gaps(messages)
        if not self._held:
            if not self._is_expected:
                return messages
            self._is_expected = False
            self._deadline = time.monotonic() + WAIT_SECONDS
        self._held |= {each.metadata.sequence.stream: each for each in messages}
        return await self.complete()

    async def complete(self) -> Sequence[Msg]:
        """The messages that were held back, if there is nothing left to wait for."""
        if not self._held:
            return []
        info = await self._consumer_info()
        sent = info.delivered.stream_seq if info.delivered else 0
        if self._is_expected or sent < max(self._held):
            # Broken again meanwhile, or a server that forgot what it sent: all over again.
            self._is_expected = True
            await self.give_back()
            return []
        if (info.num_ack_pending or 0) > len(self._held) and time.monotonic() < self._deadline:
            return []
        held, self._held = self._held, {}
        return [held[position] for position in sorted(held)]

    async def give_back(self) -> None:
        """Has the messages that are held back sent again at once."""
        held, self._held = self._held, {}
        await give_back(held.values())

    def _note_gaps(self, messages: Sequence[Msg]) -> None:
        """A consumer numbers what it sends. Where a number is missing, a server of the cluster
        died with the message on its way.
        """
        for number in (each.metadata.sequence.consumer for each in messages):
            if number != self._next_number:
                self._is_expected = True
            self._next_number = number + 1


async def give_back(messages: Iterable[Msg]) -> None:
    """Those of them that nobody has acked come again at once."""
    for message in messages:
        with contextlib.suppress(NatsError):
            await message.nak()
