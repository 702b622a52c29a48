"""What `tenantry doctor` looks at, each part beside the others and each with a time limit.

A check never raises: what goes wrong is what it tells, with what to do about it.
"""

import asyncio
from pathlib import Path

from tenantry.checks import api, broker, configuration, databases, redis
from tenantry.checks.check import FAILED, Check
from tenantry.failing import Misconfigured
from tenantry.installation import backing


async def examine(url: str | None, data: Path | None) -> list[Check]:
    """All checks, in the order in which one would mend what they find."""
    try:
        place = backing(data)
    except Misconfigured as wrong:
        found = [Check("configuration", "installation", FAILED, str(wrong), wrong.fix)]
        return found + await api.examine(url, data)
    parts = await asyncio.gather(
        databases.examine(place),
        broker.examine(place),
        redis.examine(place),
        api.examine(url, data),
    )
    return [*configuration.examine(place), *(each for part in parts for each in part)]
