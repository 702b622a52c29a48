"""Asking a service: request and reply over NATS, bytes in both directions."""

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


def encoded(context: Context) -> str:
    """The context as it travels: one line of JSON."""
    return orjson.dumps(context).decode()


def decoded(text: str) -> Context:
    """The context of such a line; what a newer release says besides is passed over."""
    given = orjson.loads(text)
    known = {name: given[name] for name in _CONTEXT if name in given}
    known["query"] = [(name, value) for name, value in known.get("query", ())]
    return Context(**known)


async def ask(nats: Client, call: Call, context: Context, body: bytes = b"") -> Reply:
    """One request to the call's owner, until the context's deadline (seconds since the epoch).

    Answers whatever the owner said, problems included. Raises Problem: 503 when nobody answers
    this call, 504 when the outcome is unknown.
    """
    if not nats.is_connected:
        raise unavailable(call.service)
    try:
        msg = await nats.request(
            call.subject,
            body,
            timeout=max(0.001, context.deadline - time.time()),
            headers={CONTEXT_HEADER: encoded(context)},
        )
    except (TimeoutError, NatsTimeoutError):
        raise Problem(
            "upstream_timeout",
            f"The {call.service} service did not answer in time; the outcome is unknown. "
            "Repeat the request with the same Idempotency-Key.",
        ) from None
    except NatsError:
        raise unavailable(call.service) from None
    head_of = orjson.loads((msg.headers or {})[REPLY_HEADER])
    return Reply(
        msg.data,
        head_of["status"],
        head_of.get("version"),
        head_of.get("created"),
        head_of["headers"],
    )
