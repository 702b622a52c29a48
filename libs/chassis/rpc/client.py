"""Calls a service: request and reply over NATS, bytes in both directions."""

import time
from dataclasses import fields

import orjson
from contracts.calls import Call
from contracts.context import CONTEXT_HEADER, REPLY_HEADER, Context
from contracts.problems import Problem
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError

from chassis.request import Reply

_CONTEXT = [each.name for each in fields(Context)]


def unavailable(service: str) -> Problem:
    """The 503 for a service, or its database, that is away."""
    return Problem(
        "service_unavailable",
        f"The {service} service is not available just now. Try again soon.",
        retry_after=1,
    )


def encode_context(context: Context) -> str:
    """The context as one line of JSON, for a header."""
    return orjson.dumps(context).decode()


def decode_context(text: str) -> Context:
    """The context of such a line; members that only a newer release knows are ignored."""
    given = orjson.loads(text)
    known = {name: given[name] for name in _CONTEXT if name in given}
    known["query"] = [(name, value) for name, value in known.get("query", ())]
    return Context(**known)


async def call_service(nats: Client, call: Call, context: Context, body: bytes = b"") -> Reply:
    """The owner's reply to one request, problems included.

    Waits until the context's deadline (seconds since the epoch). Raises Problem: 503 when no
    service answers this call, 504 when the outcome is unknown.
    """
    if not nats.is_connected:
        raise unavailable(call.service)
    try:
        msg = await nats.request(
            call.subject,
            body,
            timeout=max(0.001, context.deadline - time.time()),
            headers={CONTEXT_HEADER: encode_context(context)},
        )
    except (TimeoutError, NatsTimeoutError):
        raise Problem(
            "upstream_timeout",
            f"The {call.service} service did not answer in time; the outcome is unknown. "
            "Repeat the request with the same Idempotency-Key.",
        ) from None
    except NatsError:
        raise unavailable(call.service) from None
    text = (msg.headers or {}).get(REPLY_HEADER)
    if text is None:
        raise unavailable(call.service)  # not from a service: the broker was told to answer here
    head = orjson.loads(text)
    return Reply(
        msg.data,
        head["status"],
        head.get("version"),
        head.get("created"),
        head["headers"],
    )
