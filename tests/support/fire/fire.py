"""A whole fire: a stack, a load, faults under it, and the verdict once all is quiet."""

import random
import time
from contextlib import AsyncExitStack
from pathlib import Path

from aiohttp import ClientSession, DummyCookieJar, TCPConnector

from support.api import new_tenant
from support.fire.changes import Own, listen
from support.fire.faults import schedule, strike
from support.fire.hearing import hearing
from support.fire.judging import judge
from support.fire.load import under_load
from support.fire.outcome import Outcome, Plan
from support.fire.stack import CabledStack, cabled_stack

TENANTS = 3
WRITERS = 3
"""Of each tenant."""


async def burn(plan: Plan, folder: Path) -> Outcome:
    """Raises AssertionError, with the seed and what happened, when the stack does not recover."""
    outcome = Outcome(plan)
    connector = TCPConnector(limit=0)
    async with (
        cabled_stack(folder, TENANTRY_RATE_LIMIT="100000/second") as stack,
        ClientSession(cookie_jar=DummyCookieJar(), connector=connector) as http,
        AsyncExitStack() as endpoints,
    ):
        try:
            owns = await settle_in(outcome, stack, http, endpoints)
            await _under_fire(outcome, stack, http, owns)
            await judge(outcome, stack)
        except (AssertionError, ExceptionGroup) as failure:
            happened = "\n".join(stack.log[-60:])
            raise AssertionError(f"{plan}\n{happened}\n{failure!r}\nlogs: {folder}") from failure
        outcome.told += [*stack.log[-400:], f"logs: {folder}"]
    return outcome


async def settle_in(
    outcome: Outcome, stack: CabledStack, http: ClientSession, endpoints: AsyncExitStack
) -> list[Own]:
    """Tenants, each with its writers and an endpoint that hears all."""
    owns = []
    for _ in range(TENANTS):
        operator_key = stack.servers.secrets.operator_key
        api = await new_tenant(http, stack.client_url, operator_key)
        ear = outcome.hearings[api.tenant] = await endpoints.enter_async_context(hearing())
        for _ in range(WRITERS):
            chance = random.Random(f"{outcome.plan.seed} {len(owns)}")
            owns.append(Own(api, f"writer{len(owns)}", chance, ear.url))
        write = listen(owns[-1])
        outcome.load.writes.append(write)
        await outcome.load.send(write)
    return owns


async def _under_fire(
    outcome: Outcome, stack: CabledStack, http: ClientSession, owns: list[Own]
) -> None:
    plan, began = outcome.plan, time.monotonic()
    faults = schedule(plan.seed, list(stack.processes), list(stack.cables))
    async with under_load(outcome.load, owns):
        while time.monotonic() < began + plan.seconds or outcome.kills.total() < plan.kills:
            fault = next(faults)
            outcome.struck.append(await strike(stack, fault, http, lambda: outcome.load.answered))
    outcome.seconds = time.monotonic() - began
