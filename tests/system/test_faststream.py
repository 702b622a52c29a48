"""Why FastStream is pinned: its batch reader hands over at once what a fetch brought (ADR 4).

To see whether another version will do, install it and run this file; `make install` goes back:
`.venv/bin/uv pip install faststream==0.7.8`, then `make test ARGS=tests/system/test_faststream.py`,
`rm .venv/installed-dev`.
"""

import asyncio
import faulthandler
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from chassis.broker import Broker
from chassis.nats_client import CLOSED_PAUSE_SECONDS, NatsClient, connect
from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsMessage, NatsRouter, PullSub
from nats.aio.msg import Msg
from nats.js.api import AckPolicy as ServerAckPolicy
from nats.js.api import ConsumerConfig, ConsumerInfo
from support.waiting import until
from tenantry.servers import Servers

STREAM = "FASTSTREAM"
SUBJECT = "faststream.test"
ACK_WAIT = 5.0


@dataclass
class Reader:
    """A batch subscriber of a durable consumer; `batches` are the messages that it handed over."""

    nats: NatsClient
    broker: NatsBroker
    batches: list[list[int]] = field(default_factory=list)

    @property
    def received(self) -> list[int]:
        return [number for batch in self.batches for number in batch]

    async def start(self, fetch_seconds: float) -> None:
        router = NatsRouter()

        @router.subscriber(
            SUBJECT,
            durable="reader",
            stream=JStream(STREAM, declare=False),
            pull_sub=PullSub(batch_size=256, timeout=fetch_seconds, batch=True),
            ack_policy=AckPolicy.MANUAL,
            inbox_prefix=b"_INBOX_admin.",
        )
        async def receive(batch: list[int], message: NatsMessage) -> None:
            self.batches.append(batch)
            await message.ack()

        self.broker.include_router(router)
        await self.broker.start()

    async def publish(self, *numbers: int) -> None:
        for number in numbers:
            await self.nats.jetstream().publish(SUBJECT, str(number).encode(), stream=STREAM)

    async def has(self, count: int) -> None:
        async def enough() -> bool:
            return len(self.received) >= count

        await until(enough, every=0.001)

    async def info(self) -> ConsumerInfo:
        return await self.nats.jetstream().consumer_info(STREAM, "reader")


@pytest.fixture
async def reader(servers: Servers) -> AsyncIterator[Reader]:
    nats = await connect(servers.nats_url("admin"))
    js = nats.jetstream()
    await js.add_stream(name=STREAM, subjects=[SUBJECT])
    config = ConsumerConfig(
        durable_name="reader", ack_policy=ServerAckPolicy.EXPLICIT, ack_wait=ACK_WAIT
    )
    await js.add_consumer(STREAM, config)
    client = await connect(servers.nats_url("admin"))
    broker = Broker(client)
    await broker.connect()
    yield Reader(nats, broker)
    if not client.is_closed:
        await broker.stop()
    await js.delete_stream(STREAM)
    await nats.close()


async def test_what_a_fetch_brought_is_handed_over_before_its_timeout(reader: Reader) -> None:
    await reader.start(30)
    for number in range(20):
        began = time.monotonic()
        await reader.publish(number)
        await reader.has(number + 1)
        assert time.monotonic() - began < ACK_WAIT, "it gathers until the timeout"


async def test_what_waits_comes_in_one_batch(reader: Reader) -> None:
    await reader.publish(*range(100))
    await reader.start(30)
    await reader.has(100)
    assert max(map(len, reader.batches)) > 50


async def test_full_batches_follow_one_another_at_once(reader: Reader) -> None:
    await reader.publish(*range(1_000))
    began = time.monotonic()
    await reader.start(30)
    await reader.has(1_000)
    assert time.monotonic() - began < ACK_WAIT


async def test_the_late_end_of_a_fetch_holds_no_message_back(reader: Reader) -> None:
    """The status that ends a fetch may come when the next one has begun."""
    fetch_seconds = 3.0
    inboxes: list[str] = []

    async def note(request: Msg) -> None:
        inboxes.append(request.reply)

    async def second() -> bool:
        return len(inboxes) == 2

    await reader.nats.subscribe(f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.reader", cb=note)
    await reader.start(fetch_seconds)
    await until(second)
    await reader.nats.publish(inboxes[0], headers={"Status": "408"})
    for number in range(4):
        began = time.monotonic()
        await reader.publish(number)
        await reader.has(number + 1)
        assert time.monotonic() - began < fetch_seconds / 3


async def test_it_survives_fetches_that_time_out_and_loses_no_message(reader: Reader) -> None:
    """nats-py raises its own TimeoutError or the built-in one, whichever is nearer."""
    await reader.start(0.05)
    expected = list(range(100))
    for number in expected:
        await reader.publish(number)
        await asyncio.sleep(number % 12 / 100)  # at all moments of a fetch
    await reader.has(len(expected))
    assert reader.received == expected, "each once, in order"
    info = await reader.info()
    assert info.delivered is not None
    assert info.delivered.consumer_seq == len(expected), "none was sent again"


async def test_a_subscriber_stops_and_starts_again(reader: Reader) -> None:
    await reader.start(1)
    (subscriber,) = reader.broker.subscribers
    for number in range(5):
        await subscriber.stop()
        await reader.publish(number)
        assert len(reader.received) == number
        await subscriber.start()
        await reader.has(number + 1)


async def test_a_connection_that_is_closed_for_good_leaves_the_process_alive(
    reader: Reader,
) -> None:
    """FastStream asks again at once, for ever: `NatsClient.publish` lets others run between."""
    await reader.start(0.05)
    (subscriber,) = reader.broker.subscribers
    faulthandler.dump_traceback_later(30, exit=True)  # a frozen loop notices no timeout
    await reader.broker.connection.close()
    for _ in range(5):
        await asyncio.sleep(CLOSED_PAUSE_SECONDS)
    faulthandler.cancel_dump_traceback_later()
    assert subscriber.running


async def test_a_refused_reconnect_is_not_the_last_one() -> None:
    """As after a password that was changed and changed back; FastStream's own would be."""
    answers = [b"PONG", b"-ERR 'Authorization Violation'", b"PONG"]
    connections: list[asyncio.StreamWriter] = []

    async def serve(requests: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        info = {"server_id": "x", "version": "2.15.0", "max_payload": 1024, "headers": True}
        answer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        while (line := await requests.readline()) and not line.startswith(b"PING"):
            pass
        answer.write(answers[len(connections)] + b"\r\n")
        connections.append(answer)
        while await requests.readline():
            answer.write(b"PONG\r\n")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = await connect(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    broker = Broker(client)
    await broker.connect()
    connections[0].close()

    async def is_back() -> bool:
        return len(connections) == len(answers) and client.is_connected

    await until(is_back)
    await client.close()
    server.close()
