"""Records what a real stack shows of itself while it is well, and under each fault.

    PYTHONPATH=tests python -m chart.record_metrics [FAULT ...]

A recording has two values of each series, before and under the fault, or one of a process that
could not be scraped then. It keeps the metrics that the rules use. Run it when these have changed.
"""

import asyncio
import json
import re
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import psutil
from aiohttp import ClientError, ClientSession, ClientTimeout
from chart.conftest import CHART, HERE
from contracts.ids import new_id
from contracts.topology import SERVICE_NAMES, Lock
from support.api import Api, new_tenant
from support.hostile_publisher import publish_raw
from support.stack import Stack, running_stack
from support.waiting import until
from support.webhook_receiver import webhook_receiver
from tenantry.servers.ports import HOST

FOLDER = HERE / "recordings"
USED = set(re.findall(r"\btenantry_[a-z_]+", (CHART / "alerts.yaml").read_text()))
SCRAPE = ClientTimeout(total=5)
_END_HOLDER = """
SELECT pg_terminate_backend(pid)
  FROM pg_locks JOIN pg_database ON pg_database.oid = database AND datname = current_database()
 WHERE locktype = 'advisory' AND (classid::bigint << 32) + objid::bigint = $1
   AND pid <> pg_backend_pid()
"""
Scrape = dict[str, dict[str, float]]
Fault = Callable[["World"], Awaitable[None]]
FAULTS: dict[str, Fault] = {}


def fault(create: Fault) -> Fault:
    """Its name is that of the function; it ends when the fault is to be seen, and holds on."""
    FAULTS[create.__name__.replace("_", "-")] = create
    return create


@dataclass
class World:
    """A stack that is called all the time, and what ends the fault once it is recorded."""

    stack: Stack
    http: ClientSession
    api: Api
    hooked: Api
    """Of a tenant with a webhook."""
    ends: AsyncExitStack

    async def scrape(self) -> Scrape:
        found = {}
        for name in ("edge", "console", *SERVICE_NAMES):
            with suppress(ClientError, TimeoutError):
                found[name] = await self._scrape(name)
        return found

    async def _scrape(self, name: str) -> dict[str, float]:
        environment = psutil.Process(self.stack.ready["processes"][name]).environ()
        kind = "MANAGEMENT" if name in ("edge", "console") else "HTTP"
        url = f"http://{HOST}:{environment[f'TENANTRY_{kind}_PORT']}/metrics"
        async with self.http.get(url, timeout=SCRAPE) as answer:
            lines = (await answer.text()).splitlines()
        series = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {each: float(value) for each, _, value in series if each.partition("{")[0] in USED}

    async def shows(self, name: str, series: str, above: float) -> None:
        """Waits until a process shows more than that."""

        async def has_more() -> bool:
            return (await self._scrape(name))[series] > above

        await until(has_more, 120, every=0.2)

    async def database(self, name: str) -> asyncpg.Connection:
        conn = await asyncpg.connect(self.stack.ready["databases"][name])
        self.ends.push_async_callback(conn.close)
        return conn

    async def take_lock(self, database: str, lock: Lock) -> None:
        """From whoever has it, until the end."""
        conn = await self.database(database)

        async def taken() -> bool:
            await conn.execute(_END_HOLDER, int(lock))
            return bool(await conn.fetchval("SELECT pg_try_advisory_lock($1)", int(lock)))

        await until(taken, 60)

    async def hang(self, process: str) -> None:
        self.stack.hang(process, signal.SIGSTOP)
        self.ends.callback(self.stack.hang, process, signal.SIGCONT)

    async def create_users(self, api: Api, count: int) -> None:
        for _ in range(count):
            await api("POST", "/v1/admin/users", {"email": f"{new_id('usr')}@example.com"})


@fault
async def healthy(world: World) -> None:
    await world.create_users(world.hooked, 50)
    await asyncio.sleep(15)


@fault
async def process_down(world: World) -> None:
    """Of this one nobody waits for an answer."""
    await world.hang("audit")
    await asyncio.sleep(10)


@fault
async def errors(world: World) -> None:
    await world.hang("identity")
    await asyncio.sleep(10)


@fault
async def slow(world: World) -> None:
    """Statements of identity wait for somebody's lock, so that they need all connections."""
    conn = await world.database("identity")
    callers = [asyncio.create_task(world.create_users(world.api, 200)) for _ in range(12)]
    world.ends.callback(lambda: [each.cancel() for each in callers])
    for _ in range(8):
        async with conn.transaction():
            await conn.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
            await asyncio.sleep(0.7)
        await asyncio.sleep(0.05)
    transaction = conn.transaction()
    await transaction.start()
    world.ends.push_async_callback(transaction.rollback)
    await conn.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
    await world.shows("identity", "tenantry_pool_used", 9)


@fault
async def console_errors(world: World) -> None:
    """It cannot look up who is signed in; the API goes on."""
    await world.hang("redis")
    await asyncio.sleep(15)


@fault
async def outbox_late(world: World) -> None:
    await world.take_lock("identity", Lock.RELAY)
    await world.shows("identity", "tenantry_outbox_oldest_seconds", 31)


@fault
async def events_pending(world: World) -> None:
    await world.take_lock("audit", Lock.CONSUMER)
    for _ in range(3):
        lines = "".join(f'{{"email": "{new_id("usr")}@example.com"}}\n' for _ in range(4000))
        kind = {"content_type": "application/x-ndjson"}
        done = await world.api("POST", "/v1/admin/users/bulk", data=lines.encode(), **kind)
        assert done.status == 200, done.raw
    await world.shows("audit", "tenantry_events_pending", 10_100)
    await asyncio.sleep(10)


@fault
async def dead_letters(world: World) -> None:
    conn = await world.database("audit")
    event_id = new_id("evt")
    await conn.execute(
        "INSERT INTO dead_letters (event_id, subject, payload, error, tries) "
        "VALUES ($1, 'tenantry.events.identity.user.created', '{}', 'KeyError', 5)",
        event_id,
    )
    delete = "DELETE FROM dead_letters WHERE event_id = $1"
    world.ends.push_async_callback(conn.execute, delete, event_id)
    await world.shows("audit", "tenantry_dead_letters", 0)


@fault
async def events_refused(world: World) -> None:
    message = ("tenantry.events.identity.user.created", b"NATS/1.0\r\n\r\n", b"{}")
    await publish_raw(world.stack, "identity", [message])
    series = 'tenantry_events_refused_total{reason="envelope"}'
    await world.shows("audit", series, 0)
    await world.shows("webhooks", series, 0)


@fault
async def deliveries_late(world: World) -> None:
    """Nobody claims them until they have been due for two minutes."""
    conn = await world.database("webhooks")
    async with conn.transaction():
        await conn.execute("SELECT pg_advisory_xact_lock($1)", int(Lock.CLAIM_DELIVERIES))
        await world.create_users(world.hooked, 100)

        async def are_queued() -> bool:
            return bool(await conn.fetchval("SELECT count(*) >= 100 FROM queue"))

        await until(are_queued)
        await conn.execute("UPDATE queue SET due_at = due_at - interval '2 minutes'")
    series = 'tenantry_delivery_wait_seconds_bucket{le="+Inf"}'
    count = (await world.scrape())["webhooks"][series]
    await world.shows("webhooks", series, count + 50)


@fault
async def loop_busy(world: World) -> None:
    """As a process that gets a third of a processor."""

    async def starve() -> None:
        while True:
            for number, seconds in ((signal.SIGSTOP, 0.3), (signal.SIGCONT, 0.1)):
                world.stack.hang("webhooks", number)
                await asyncio.sleep(seconds)

    starving = asyncio.create_task(starve())
    world.ends.callback(world.stack.hang, "webhooks", signal.SIGCONT)
    world.ends.callback(starving.cancel)
    await asyncio.sleep(5)
    await world.shows("webhooks", "tenantry_event_loop_lag_seconds", 0.15)


@asynccontextmanager
async def called(stack: Stack, api: Api) -> AsyncIterator[None]:
    """Two callers of the API and one of the console, all the time."""

    async def call() -> None:
        while True:
            with suppress(ClientError, TimeoutError, OSError):
                await api("POST", "/v1/admin/users", {"email": f"{new_id('usr')}@example.com"})
                await api("GET", "/v1/admin/users?limit=5")
            await asyncio.sleep(0.05)

    async def look() -> None:
        async with httpx.AsyncClient(base_url=stack.ready["console"]["url"]) as console:
            await console.post("/sign-in", data={"key": stack.ready["api_key"]})
            while True:
                with suppress(httpx.HTTPError):
                    await console.get("/users")
                await asyncio.sleep(0.2)

    tasks = [asyncio.create_task(each()) for each in (call, call, look)]
    try:
        yield
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def record(stack: Stack, http: ClientSession, names: list[str]) -> None:
    api = await new_tenant(http, stack.url, stack.ready["operator_key"])
    hooked = await new_tenant(http, stack.url, stack.ready["operator_key"])
    async with webhook_receiver() as receiver, called(stack, api):
        hook = {"url": receiver.url, "events": ["user.*"]}
        assert (await hooked("POST", "/v1/admin/webhooks", hook)).status == 201
        for name in names:
            async with AsyncExitStack() as ends:
                world = World(stack, http, api, hooked, ends)
                await asyncio.sleep(5)  # what the fault before it has left is over
                before, began = await world.scrape(), time.monotonic()
                await FAULTS[name](world)
                after, seconds = await world.scrape(), time.monotonic() - began
            lines = ",\n".join(f"  {json.dumps(each)}" for each in pairs(before, after))
            text = f'{{"seconds": {seconds:.1f}, "series": [\n{lines}\n]}}\n'
            (FOLDER / f"{name}.json").write_text(text)
            print(f"{name}: {seconds:.1f} s")  # noqa: T201 - for who waits


def pairs(before: Scrape, after: Scrape) -> Iterator[tuple[str, str, list[float]]]:
    """Process, series, and what it was; a histogram that has nothing is left out."""
    for process, series in before.items():
        now = after.get(process, {})
        for name in series | now:
            values = [series.get(name, 0.0), *([now[name]] if name in now else [])]
            if "_bucket{" not in name or any(values):
                yield process, name, values


async def main(names: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    limit = {"TENANTRY_RATE_LIMIT": "100000/second"}
    with tempfile.TemporaryDirectory() as folder:
        stack = running_stack(Path(folder), "--console", **limit)
        async with stack as running, ClientSession() as http:
            await record(running, http, names or list(FAULTS))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
