"""Answers that several services make together: each is asked for its part, all at the same time.

A part that the credential may not read is not asked for. A service that does not answer is named in
`unavailable`, and the others' parts are answered.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from chassis.request import Reply
from chassis.rpc.client import call_service
from contracts.calls import Call
from contracts.context import Context
from contracts.problems import Problem
from contracts.scopes import covers

from edge.auth.principals import Principal
from edge.gateway import Gateway

OPERATOR = "operator"


@dataclass(frozen=True)
class Part:
    """A call, and the scope that it needs: OPERATOR for the operator's alone."""

    call: Call
    scope: str

    def may_be_read_by(self, principal: Principal) -> bool:
        if principal.is_operator or self.scope == OPERATOR:
            return principal.is_operator and self.scope == OPERATOR
        return covers(principal.scopes, self.scope)


async def ask_for_parts(
    gateway: Gateway, context: Context, calls: Iterable[Call]
) -> tuple[list[dict[str, Any]], list[str]]:
    """The answers, in the order of the calls, and the services that did not answer."""

    async def ask(call: Call) -> Reply | None:
        try:
            return await call_service(gateway.nats, call, context)
        except Problem:
            return None

    asked = list(calls)
    replies = await asyncio.gather(*map(ask, asked))
    answers, unavailable = [], dict[str, None]()
    for call, reply in zip(asked, replies, strict=True):
        if reply is not None and reply.status == 200:
            answers.append(orjson.loads(reply.body))
        else:
            unavailable[call.service] = None
    return answers, list(unavailable)
