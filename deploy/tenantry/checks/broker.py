"""NATS: reachable, with the stream and the consumers of the contracts, and heard in time."""

import asyncio
import json
import time
from datetime import datetime

from chassis.streams import faults
from contracts.topology import SERVICE_NAMES, STREAM
from nats.aio.client import Client
from nats.errors import Error as NatsError

from tenantry import brokers
from tenantry.checks.check import FAILED, LIMIT_SECONDS, OK, WARNING, Check, clock, skipped
from tenantry.failing import Failed
from tenantry.installation import Backing

MANY_PENDING = 10_000


async def examine(place: Backing) -> list[Check]:
    if place.nats_admin_url is None:
        return [skipped("connection", "NATS", "TENANTRY_NATS_ADMIN_URL")]
    try:
        async with asyncio.timeout(LIMIT_SECONDS), brokers.connected(place.nats()) as client:
            return await _reached(client)
    except TimeoutError:
        fix = "NATS hangs or is overloaded: look at its log."
        return [Check("connection", "NATS", FAILED, f"no answer in {LIMIT_SECONDS:.0f} s", fix)]
    except Failed as failed:
        return [Check("connection", "NATS", FAILED, str(failed), failed.fix)]


async def _reached(client: Client) -> list[Check]:
    begun = time.time()
    await client.flush(timeout=2)
    milliseconds = (time.time() - begun) * 1000
    version = client.connected_server_version
    connection = Check("connection", "NATS", OK, f"NATS {version}, {milliseconds:.1f} ms")
    js = client.jetstream(timeout=2)
    try:
        wrong = {fault.what: fault for fault in await faults(js)}
    except NatsError as error:
        fix = "Start the server with JetStream: see deploy/nats/nats.conf."
        return [connection, Check("streams", f"stream {STREAM}", FAILED, type(error).__name__, fix)]
    found = [connection]
    for what in (f"stream {STREAM}", *(f"consumer {name}" for name in SERVICE_NAMES)):
        if what in wrong:
            state = "missing" if wrong[what].is_missing else "not as this release has it"
            found.append(Check("streams", what, FAILED, state, _fix(what)))
        elif what.startswith("consumer"):
            found.append(await _lag(client, what))
        else:
            found += await _stream(client, what)
    return found


def _fix(what: str) -> str:
    again = "Run `tenantry bootstrap` (with --watch it stays and does this by itself)."
    if what.startswith("stream"):
        again += " If it was lost with its events: `tenantry events republish --since 1d`."
    return again


async def _stream(client: Client, what: str) -> list[Check]:
    begun = time.time()
    answer = json.loads((await client.request(f"$JS.API.STREAM.INFO.{STREAM}", b"")).data)
    state = answer["state"]
    found = [Check("streams", what, OK, f"{state['messages']:,} events, {state['bytes']:,} bytes")]
    if "ts" in answer:
        found.append(clock("NATS", datetime.fromisoformat(_micro(answer["ts"])).timestamp(), begun))
    return found


async def _lag(client: Client, what: str) -> Check:
    service = what.removeprefix("consumer ")
    info = await client.jetstream(timeout=2).consumer_info(STREAM, service)
    pending = info.num_pending or 0
    if pending > MANY_PENDING:
        fix = f"{service} is behind: check that it runs, and its log and database."
        return Check("streams", what, WARNING, f"{pending:,} events wait", fix)
    return Check("streams", what, OK, f"{pending:,} events wait")


def _micro(text: str) -> str:
    """Go writes nanoseconds; Python reads microseconds."""
    head, _, tail = text.partition(".")
    return f"{head}.{tail.rstrip('Z')[:6].ljust(6, '0')}+00:00" if tail else text
