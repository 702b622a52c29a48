"""Creates the stream or a consumer again when it vanishes under a running stack.

A service without its consumer is not ready and receives no events until the consumer exists again;
then it continues by itself. Messages about deleted people are erased from the stream, as `tenantry
bootstrap --watch` does. Programs do both, in processes of their own.
"""

import asyncio
from collections.abc import Mapping

from tenantry.dev import console
from tenantry.dev.health_probe import count_erased_people, failed_checks
from tenantry.errors import ProgramFailed
from tenantry.processes.process import Program, run_program

CHECK_SECONDS = 10.0
"""Each look costs every service a round trip to its database and three to NATS."""
CONFIRM_SECONDS = 0.5


async def watch_streams(bootstrap: Program, erasure: Program, ports: Mapping[str, int]) -> None:
    """Runs until it is cancelled. `ports` are those of the services by name."""
    await asyncio.gather(_watch(bootstrap, ports), _erase_people(erasure, ports["webhooks"]))


async def _erase_people(erasure: Program, port: int) -> None:
    """At first whatever was left, then whenever webhooks has named messages to erase."""
    erased: int | None = -1
    while True:
        count = await count_erased_people(port)
        if count not in (None, erased):
            try:
                await run_program(erasure)
                erased = count
            except ProgramFailed as failure:
                console.print_note(f"{failure}: see {erasure.log}")
        await asyncio.sleep(CHECK_SECONDS)


async def _watch(bootstrap: Program, ports: Mapping[str, int]) -> None:
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        if not await _without_consumer(ports):
            continue
        # After a restart of NATS a consumer may only be late: look again.
        await asyncio.sleep(CONFIRM_SECONDS)
        if names := await _without_consumer(ports):
            console.print_note(
                f"{', '.join(names)} cannot receive events: creating stream and consumers again"
            )
            try:
                await run_program(bootstrap)
            except ProgramFailed as failure:
                console.print_note(f"{failure}: see {bootstrap.log}")


async def _without_consumer(ports: Mapping[str, int]) -> list[str]:
    """The services that lack their consumer although they reach NATS."""
    failed = await asyncio.gather(*(failed_checks(port) for port in ports.values()))
    return [
        name
        for name, checks in zip(ports, failed, strict=True)
        if "events" in checks and "nats" not in checks
    ]
