"""Erases the messages about deleted people from the stream, for which a service has no right.

`webhooks` knows which messages they are (`person.erased`); what it says is believed only as far as
a `user.deleted` of identity in the stream names the person. A message is erased when every service
has had it: nothing is lost, so while a service is down its messages stay.
"""

import contextlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from contracts.event_validation import RefusedEvent, validate_event
from contracts.lifecycle import PersonErased
from contracts.personal_data import erased_people, person_of, without_personal_data
from contracts.topology import ERASURE_CONSUMER, EVENTS_PREFIX, SERVICES, STREAM
from contracts.users import UserDeleted
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig
from nats.js.errors import NotFoundError

BATCH = 16
FETCH_SECONDS = 5.0
RETRY_SECONDS = 2.0
_OWNER = f"{EVENTS_PREFIX}.{UserDeleted.service}."


async def erase_people(
    js: JetStreamContext, on_erased: Callable[[int], None], *, until_done: bool = False
) -> None:
    """Runs until cancelled, or until no request is left; raises when NATS cannot be reached.

    `js` has the whole JetStream API. `on_erased` is called with how many messages of a request were
    erased.
    """
    subject = PersonErased.subject("webhooks")
    config = ConsumerConfig(ack_wait=30, max_deliver=-1)
    requests = await js.pull_subscribe(subject, ERASURE_CONSUMER, STREAM, config)
    while not (until_done and await _is_done(js)):
        with contextlib.suppress(TimeoutError):
            for message in await requests.fetch(BATCH, timeout=FETCH_SECONDS):
                on_erased(await _handle(js, message))


async def _is_done(js: JetStreamContext) -> bool:
    info = await js.consumer_info(STREAM, ERASURE_CONSUMER)
    return not info.num_pending and not info.num_ack_pending


async def _handle(js: JetStreamContext, message: Msg) -> int:
    request = _parse(message.subject, message.data)
    if request is None:
        await message.term()
        return 0
    data = PersonErased.model_validate(request["data"])
    deletion = await _get(js, data.deletion)
    if deletion is None or deletion["type"] != UserDeleted.type:
        await message.term()
        return 0
    if not await _all_had(js, max(data.messages)):
        await message.nak(delay=RETRY_SECONDS)
        return 0
    people, count = erased_people(deletion["data"]), 0
    for sequence in set(data.messages) - {data.deletion}:
        event = await _get(js, sequence)
        if event is None or event["tenantid"] != deletion["tenantid"]:
            continue
        if person_of(event["type"], event["subject"], event["data"]) not in people:
            continue
        if event["actorid"] in people or without_personal_data(event) != event:
            with contextlib.suppress(NotFoundError):
                await js.delete_msg(STREAM, sequence)  # the server overwrites it
            count += 1
    await message.ack()
    return count


async def _get(js: JetStreamContext, sequence: int) -> dict[str, Any] | None:
    """The event of identity at that place of the stream, if there is one."""
    try:
        message = await js.get_msg(STREAM, sequence)
    except NotFoundError:
        return None
    if not (message.subject or "").startswith(_OWNER):
        return None
    return _parse(message.subject or "", message.data or b"")


def _parse(subject: str, body: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(body)
        validate_event(subject, event, datetime.now(UTC))
    except (ValueError, RecursionError, RefusedEvent):
        return None
    return dict(event)


async def _all_had(js: JetStreamContext, sequence: int) -> bool:
    """Whether every service that receives events of identity has had the messages up to there."""
    return all(
        [await _had(js, each.name, sequence) for each in SERVICES if _receives(each.consumes)]
    )


def _receives(subjects: Sequence[str]) -> bool:
    return any(each.startswith((f"{EVENTS_PREFIX}.>", _OWNER)) for each in subjects)


async def _had(js: JetStreamContext, service: str, sequence: int) -> bool:
    info = await js.consumer_info(STREAM, service)
    if not info.num_pending and not info.num_ack_pending:
        return True
    return info.ack_floor is not None and info.ack_floor.stream_seq >= sequence
