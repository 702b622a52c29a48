"""The one step that owns streams and durable consumers; services declare nothing.

Run at every start of an installation: it creates what is missing and updates what differs.
"""

import nats
from contracts.events import EVENTS_PREFIX, LIFECYCLE_PREFIX, STREAM
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig
from nats.js.errors import NotFoundError

DAY = 86_400.0
MAX_DELIVER = 5

CONSUMERS: dict[str, list[str]] = {
    "audit": [
        f"{EVENTS_PREFIX}.>",
        f"{LIFECYCLE_PREFIX}.projects.tenant.>",
        f"{LIFECYCLE_PREFIX}.projects.api_key.>",
    ],
    "webhooks": [f"{EVENTS_PREFIX}.>", f"{LIFECYCLE_PREFIX}.projects.tenant.>"],
    "identity": [
        f"{EVENTS_PREFIX}.projects.project.deleted",
        f"{LIFECYCLE_PREFIX}.projects.tenant.>",
    ],
    "projects": [
        f"{LIFECYCLE_PREFIX}.identity.tenant.erased",
        f"{LIFECYCLE_PREFIX}.webhooks.tenant.erased",
        f"{LIFECYCLE_PREFIX}.audit.tenant.erased",
    ],
}
"""Which subjects each service hears, in order, through the durable consumer of its name."""


async def bootstrap(url: str, replicas: int = 1) -> None:
    """Makes the stream and its consumers. `url` names a user with the whole JetStream API."""
    client = await nats.connect(url, connect_timeout=5, inbox_prefix=b"_INBOX_admin")
    try:
        js = client.jetstream()
        await _stream(js, replicas)
        for name, subjects in CONSUMERS.items():
            await js.add_consumer(STREAM, _consumer(name, subjects))
    finally:
        await client.close()


async def _stream(js: JetStreamContext, replicas: int) -> None:
    config = StreamConfig(
        name=STREAM,
        subjects=[f"{EVENTS_PREFIX}.>", f"{LIFECYCLE_PREFIX}.>"],
        max_age=7 * DAY,
        duplicate_window=120.0,
        num_replicas=replicas,
    )
    try:
        await js.stream_info(STREAM)
        await js.update_stream(config)
    except NotFoundError:
        await js.add_stream(config)


def _consumer(name: str, subjects: list[str]) -> ConsumerConfig:
    """`backoff` applies when an ack is not given in time, so its first step is the ack wait."""
    return ConsumerConfig(
        name=name,
        durable_name=name,
        ack_policy=AckPolicy.EXPLICIT,
        deliver_policy=DeliverPolicy.ALL,
        filter_subjects=subjects,
        max_deliver=-1,
        ack_wait=5.0,
        max_ack_pending=2048,
    )
