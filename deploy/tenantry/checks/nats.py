"""NATS: reachable, with the stream and its consumers, which keep up."""

import asyncio
import json
import time
from datetime import datetime

from chassis.streams import faults
from contracts.topology import SERVICE_NAMES, STREAM
from nats.aio.client import Client
from nats.errors import Error as NatsError

from tenantry.checks.result import (
    NO_ANSWER,
    TIMEOUT_SECONDS,
    CheckResult,
    check_clock,
    failed,
    log_of,
    ok,
    skipped,
    warning,
)
from tenantry.errors import CommandFailed
from tenantry.installation import Installation
from tenantry.operations import streams

MANY_PENDING = 10_000


async def check_nats(installation: Installation) -> list[CheckResult]:
    if installation.nats_admin_url is None:
        return [skipped("connection", "NATS", "TENANTRY_NATS_ADMIN_URL")]
    url = installation.nats_url()
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS), streams.connect(url) as client:
            return await _check_connection(client)
    except TimeoutError:
        fix = f"It hangs or is overloaded: look at {log_of(installation.folder, 'nats')}."
        return [failed("connection", "NATS", NO_ANSWER, fix)]
    except CommandFailed as error:
        return [failed("connection", "NATS", str(error), error.fix)]


async def _check_connection(client: Client) -> list[CheckResult]:
    started = time.time()
    await client.flush(timeout=2)
    milliseconds = (time.time() - started) * 1000
    version = client.connected_server_version
    connection = ok("connection", "NATS", f"NATS {version}, {milliseconds:.1f} ms")
    js = client.jetstream(timeout=2)
    try:
        wrong = {fault.what: fault for fault in await faults(js)}
    except NatsError as error:
        fix = "Start the server with JetStream: see deploy/nats/nats.conf."
        return [connection, failed("streams", f"stream {STREAM}", type(error).__name__, fix)]
    results = [connection]
    for what in (f"stream {STREAM}", *(f"consumer {name}" for name in SERVICE_NAMES)):
        if what in wrong:
            state = "missing" if wrong[what].is_missing else "not as this release has it"
            results.append(failed("streams", what, state, _fix(what)))
        elif what.startswith("consumer"):
            results.append(await _check_lag(client, what))
        else:
            results += await _check_stream(client, what)
    stream = wrong.get(f"stream {STREAM}")
    if stream is None or not stream.is_missing:
        results += await _check_pushes(client)
    return results


async def _check_pushes(client: Client) -> list[CheckResult]:
    """A consumer that pushes sends events to where its maker may publish nothing: none of ours."""
    found = await client.jetstream(timeout=2).consumers_info(STREAM)
    fix = "Nobody may make one but the admin: if it is not yours, `nats consumer rm EVENTS NAME`."
    return [
        failed("streams", f"consumer {each.name}", f"pushes to {each.config.deliver_subject}", fix)
        for each in found
        if each.config.deliver_subject
    ]


def _fix(what: str) -> str:
    again = "Run `tenantry bootstrap` (with --watch it stays and does this by itself)."
    if what.startswith("stream"):
        again += " If it was lost with its events: `tenantry events republish --since 1d`."
    return again


async def _check_stream(client: Client, what: str) -> list[CheckResult]:
    started = time.time()
    answer = json.loads((await client.request(f"$JS.API.STREAM.INFO.{STREAM}", b"")).data)
    state = answer["state"]
    results = [ok("streams", what, f"{state['messages']:,} events, {state['bytes']:,} bytes")]
    if "ts" in answer:
        now = datetime.fromisoformat(_to_microseconds(answer["ts"]))
        results.append(check_clock("NATS", now.timestamp(), started))
    return results


async def _check_lag(client: Client, what: str) -> CheckResult:
    service = what.removeprefix("consumer ")
    info = await client.jetstream(timeout=2).consumer_info(STREAM, service)
    pending = info.num_pending or 0
    if pending > MANY_PENDING:
        fix = f"{service} is behind: check that it runs, and its log and database."
        return warning("streams", what, f"{pending:,} events wait", fix)
    return ok("streams", what, f"{pending:,} events wait")


def _to_microseconds(text: str) -> str:
    """Go writes nanoseconds; Python reads microseconds."""
    head, _, tail = text.partition(".")
    return f"{head}.{tail.rstrip('Z')[:6].ljust(6, '0')}+00:00" if tail else text
