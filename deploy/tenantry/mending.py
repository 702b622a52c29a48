"""The stream or a consumer that vanishes under a running stack is made again.

A service whose consumer is gone says so in its readiness, and hears nothing until it is there
again; then it goes on by itself. The bootstrap program does it, in a process of its own.
"""

import asyncio
import json
from collections.abc import Mapping

from tenantry import console
from tenantry.loopback import request
from tenantry.problems import ProgramFailed
from tenantry.process import Program, run_to_end

CHECK_SECONDS = 2.0
CONFIRM_SECONDS = 0.5


async def keep_streams(bootstrap: Program, ports: Mapping[str, int]) -> None:
    """Runs until cancelled. `ports` are those of the services by name."""
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        if not await _deaf(ports):
            continue
        # A consumer that answers late, as after a restart of the broker, is not gone.
        await asyncio.sleep(CONFIRM_SECONDS)
        if deaf := await _deaf(ports):
            console.note(f"{', '.join(deaf)} cannot hear events: making stream and consumers again")
            try:
                await run_to_end(bootstrap)
            except ProgramFailed as failure:
                console.note(f"{failure}: see {bootstrap.log}")


async def _deaf(ports: Mapping[str, int]) -> list[str]:
    """Which of the services lack their consumer, though they reach the broker."""
    answers = await asyncio.gather(*(_failed_checks(port) for port in ports.values()))
    return [
        name
        for name, failed in zip(ports, answers, strict=True)
        if "events" in failed and "nats" not in failed
    ]


async def _failed_checks(port: int) -> list[str]:
    try:
        answer = await request("GET", port, "/health/ready")
        return list(json.loads(answer.body)["failed"]) if answer.status == 503 else []
    except (OSError, ValueError, KeyError):
        return []
