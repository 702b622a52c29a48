"""Hears of every new user in a service of its own, from the beginning, each at least once."""

import asyncio
import os

from contracts.events import Event, event_subject
from contracts.topology import STREAM
from contracts.users import UserCreated
from faststream import AckPolicy, FastStream
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub

broker = NatsBroker(
    os.environ["TENANTRY_NATS_URL"], inbox_prefix="_INBOX_subscriber", max_reconnect_attempts=-1
)


@broker.subscriber(
    event_subject(UserCreated.service, UserCreated.type),
    durable=os.environ.get("SUBSCRIBER", "subscriber-example"),
    stream=JStream(STREAM, declare=False),
    pull_sub=PullSub(),
    ack_policy=AckPolicy.MANUAL,
    inbox_prefix=b"_INBOX_subscriber.",
)
async def welcome(event: Event, message: NatsMessage) -> None:
    user = UserCreated.model_validate(event.data, extra="ignore").user
    print(f"{event.id} of {event.tenantid}: welcome, {user.email}", flush=True)
    await message.ack()  # only now: what raises above comes again after 30 seconds


if __name__ == "__main__":
    asyncio.run(FastStream(broker).run())
