"""A standby is promoted under load: what is lost is counted, with and without waiting for it.

Before the primary dies, the standby is cut off for a moment in which clients go on.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

import aiohttp
import pytest
from aiohttp import ClientSession
from chaos.replicas import ReplicatedStack
from chaos.snapshot import until_quiet
from chaos.stack import ClusteredServers, proxied_stack
from chaos.standby import StandbyServers
from chassis import streams
from contracts.topology import STREAM
from support.api import Api, new_tenant
from support.stack import tenantry
from support.waiting import until
from support.webhook_receiver import Receiver, webhook_receiver

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills a process of a tree")

CLIENTS = 6
LOADED = 60
"""Answers before the standby is cut off."""
CUT_SECONDS = 7.0
"""A request has two, a batch of events has four."""
IN_TRANSIT = 2 * CLIENTS
"""Of the answers before the cut, so many may have been on their way to the standby."""


class ReplicatedServers(StandbyServers, ClusteredServers):
    """PostgreSQL with a standby, NATS as three servers."""


class StandbyStack(ReplicatedStack):
    servers: ReplicatedServers


@dataclass
class Load:
    """Clients that create users. `created` are the ids of those that were answered with 201."""

    api: Api
    created: list[str] = field(default_factory=list)
    numbers: "count[int]" = field(default_factory=count)
    goes_on: bool = True

    async def has_created(self, count: int) -> bool:
        return len(self.created) >= count

    async def run(self) -> None:
        await asyncio.gather(*(self._create_users() for _ in range(CLIENTS)))

    async def _create_users(self) -> None:
        while self.goes_on:
            number = next(self.numbers)
            body = {"email": f"user.{number}@{self.api.tenant.replace('_', '-')}.example.com"}
            key = f"{self.api.tenant}-{number}"
            while self.goes_on:
                if await self._create(body, key):
                    break
                await asyncio.sleep(0.05)

    async def _create(self, body: dict[str, str], key: str) -> bool:
        with suppress(aiohttp.ClientError, OSError):
            answer = await self.api("POST", "/v1/admin/users", body, idempotency_key=key)
            assert answer.status in (201, 503, 504), answer.raw
            if answer.status == 201:
                self.created.append(answer.body["id"])
            return answer.status == 201
        return False


@dataclass
class Customer:
    """A tenant whose webhook receives `user.created`."""

    api: Api
    receiver: Receiver

    async def audited(self) -> set[str]:
        """The users whose creation is in the trail; once each."""
        path = "/v1/admin/audit?action=user.created&"
        found = await list_all(self.api, path, "events", "resource_id")
        assert len(found) == len(set(found)), "an event took effect twice"
        return set(found)

    def delivered(self) -> set[str]:
        return {json.loads(each.body)["subject"] for each in self.receiver.received}

    async def until_delivered(self) -> None:
        """Every user that there is. A delivery of a server that died waits for its lease."""
        users = set(await list_all(self.api, "/v1/admin/users?", "users", "id"))

        async def are_delivered() -> bool:
            return self.delivered() >= users

        await until(are_delivered, 100)


async def list_all(api: Api, path: str, kind: str, member: str) -> list[str]:
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await api("GET", f"{path}limit=200" + (f"&cursor={cursor}" if cursor else ""))
        assert page.status == 200, page.raw
        found += [each[member] for each in page.body[kind]]
        cursor = page.body["pagination"]["next_cursor"]
    return found


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StandbyStack]:
    """Two replicas of every service, two edges, and three servers of NATS that all have all."""
    folder = tmp_path_factory.mktemp("standby")
    async with proxied_stack(
        folder, servers_of=ReplicatedServers, stack_of=StandbyStack
    ) as running:
        assert isinstance(running, StandbyStack)
        admin = running.servers.nats_url("admin")
        await streams.bootstrap(admin, replicas=ClusteredServers.COUNT)
        await until(running.servers.is_replicated, 30)
        yield running


@pytest.fixture
async def customer(stack: StandbyStack) -> AsyncIterator[Customer]:
    key = stack.servers.secrets.operator_key
    async with webhook_receiver() as receiver, ClientSession() as http:
        api = await new_tenant(http, stack.client_url, key)
        body = {"url": receiver.url, "events": ["user.created"], "description": "all"}
        created = await api("POST", "/v1/admin/webhooks", body)
        assert created.status == 201, created.raw
        yield Customer(api, receiver)


@dataclass
class Outcome:
    """What is there after the failover, of what was answered before.

    `unheard` are users that are there, but not in audit; `phantoms` users that receivers of
    webhooks heard of, and that are not there.
    """

    answered: int
    lost: set[str]
    lost_before_cut: set[str]
    unheard: set[str]
    phantoms: set[str]

    def __str__(self) -> str:
        return (
            f"{self.answered} answered with 201, {len(self.lost)} of them lost "
            f"({len(self.lost_before_cut)} answered before the cut), {len(self.unheard)} not in "
            f"audit, {len(self.phantoms)} delivered that do not exist"
        )


async def fail_over(
    stack: StandbyStack, customer: Customer, *, cut: Callable[[Load], Awaitable[object]]
) -> Outcome:
    """Under load; returns when all is quiet again. `cut` waits while the standby is cut off."""
    load, servers = Load(customer.api), stack.servers
    running = asyncio.create_task(load.run())
    await until(lambda: load.has_created(LOADED), 60)
    before_cut = load.created[:-IN_TRANSIT]
    servers.link.freeze()
    await cut(load)
    await servers.kill_primary()
    count_then = len(load.created)
    await servers.promote()
    await until(lambda: load.has_created(count_then + LOADED // 2), 60)
    load.goes_on = False
    await running
    await until(stack.is_led, 40)
    await until_quiet(stack)
    users = set(await list_all(customer.api, "/v1/admin/users?", "users", "id"))
    lost = set(load.created) - users
    return Outcome(
        len(load.created),
        lost,
        lost & set(before_cut),
        users - await customer.audited(),
        customer.delivered() - users,
    )


async def longer_than_anything_may_take(_: Load) -> None:
    """Then requests and batches of events are cancelled that wait for the standby, and repeated."""
    await asyncio.sleep(CUT_SECONDS)  # the length of the cut is what is tested


async def until_more_are_created(load: Load) -> None:
    wanted = len(load.created) + 30
    await until(lambda: load.has_created(wanted), 30)


async def test_a_standby_that_is_waited_for_loses_nothing(
    stack: StandbyStack, customer: Customer
) -> None:
    await stack.servers.add_standby(is_synchronous=True)
    outcome = await fail_over(stack, customer, cut=longer_than_anything_may_take)
    sys.stdout.write(f"\nwaited for: {outcome}\n")
    assert outcome.lost == set()
    assert outcome.unheard == set()
    await customer.until_delivered()


async def test_a_standby_that_is_not_waited_for_loses_what_it_had_not_got(
    stack: StandbyStack, customer: Customer
) -> None:
    """It goes by the server that the test before has promoted."""
    await stack.servers.add_standby(is_synchronous=False)
    outcome = await fail_over(stack, customer, cut=until_more_are_created)
    sys.stdout.write(f"\nnot waited for: {outcome}\n")
    assert outcome.lost
    assert outcome.lost_before_cut == set()
    # Events that took effect on the old server alone. The stream drops a repeat for two minutes: so
    # it is made anew here.
    async with streams.connected(stack.servers.nats_url("admin")) as client:
        await client.jetstream().delete_stream(STREAM)
    await streams.bootstrap(stack.servers.nats_url("admin"), replicas=ClusteredServers.COUNT)
    where = f"--data={stack.servers.data.root}"
    assert (await tenantry("events", "republish", "--since=1h", where)).code == 0
    users = set(await list_all(customer.api, "/v1/admin/users?", "users", "id"))

    async def are_heard() -> bool:
        return await customer.audited() >= users

    await until(are_heard, 40)
    await customer.until_delivered()
    verified = await tenantry("audit", "verify", where)
    assert verified.code == 0, verified.out
