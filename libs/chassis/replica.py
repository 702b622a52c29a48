"""A read replica: a standby of the database that answers lists as long as it lags little.

How old its rows can be is known by our clock alone: where the primary's log ended when we asked,
and that the standby has replayed it since. Only a success of the replica counts: whatever else it
says is asked of the primary, so that nobody sees an error that the primary would not have given.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import structlog
from contracts.problems import Problem

from chassis.database import CONFLICTS, UNAVAILABLE, Connection, Pool
from chassis.request import Reply
from chassis.telemetry import REPLICA_LAG, REPLICA_LISTS
from chassis.tls import refusal_of

log = structlog.get_logger()

LOOK_SECONDS = 1.0
"""Between two looks at how far the replica is, and for a look."""
KEPT_LOOKS = 3_600
"""Ends of the primary's log that are remembered until the replica has replayed them."""

_SYSTEM = "(SELECT system_identifier FROM pg_control_system())"
# A commit that was answered lies before this place.
_END = f"SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint AS place, {_SYSTEM} AS system"
_REPLAYED = f"""
SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint AS place, {_SYSTEM} AS system
 WHERE pg_is_in_recovery()
"""


class NotAReplica(Exception):  # noqa: N818 - states the fact
    """The server is no standby, or one of another primary."""


@dataclass(frozen=True, slots=True)
class Place:
    """Bytes from the beginning of the log of a cluster, which `system` names."""

    place: int
    system: int


async def end_of_log(primary: Connection | Pool) -> Place:
    """Raises the errors of the database, one too if this is no primary."""
    return Place(**dict(await primary.fetchrow(_END)))


async def replayed(replica: Connection | Pool) -> Place:
    """Raises NotAReplica, and the errors of the database."""
    row = await replica.fetchrow(_REPLAYED)
    if row is None or row["place"] is None:
        raise NotAReplica("no standby")
    return Place(**dict(row))


def has_replayed(found: Place, end: Place) -> bool:
    """Raises NotAReplica where the two are of different clusters."""
    if found.system != end.system:
        raise NotAReplica("a standby of another primary")
    return found.place >= end.place


class Replica:
    """Answers from `pool` as long as the replica lags by `max_lag` seconds at most.

    `watch` are connections of its own to the replica, and `primary` some to the primary, so that
    no look waits for lists.
    """

    def __init__(self, pool: Pool, watch: Pool, primary: Pool, max_lag: float) -> None:
        self._pool = pool
        self._watch = watch
        self._primary = primary
        self._max_lag = max_lag
        self._ends: deque[tuple[float, Place]] = deque(maxlen=KEPT_LOOKS)
        self._current_at = -math.inf
        """The replica has all that was committed by then."""
        self._away: str | None = None
        REPLICA_LAG.set_function(self.lag)

    def lag(self) -> float:
        """Seconds; the replica's rows are no older. Infinite while it cannot be told."""
        return time.monotonic() - self._current_at

    async def look(self) -> None:
        """Asks both servers how far they are."""
        away = None
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._compare()
        except NotAReplica as error:
            away = str(error)
        except (TimeoutError, asyncpg.PostgresError, *UNAVAILABLE) as error:
            away = refusal_of(error) or "unreachable"
        if away is not None:
            self._current_at = -math.inf
        if away != self._away:
            log.warning("replica_away" if away else "replica_back", reason=away or self._away)
            self._away = away

    async def _compare(self) -> None:
        """Raises NotAReplica, and the errors of the database."""
        asked_at = time.monotonic()
        self._ends.append((asked_at, await end_of_log(self._primary)))
        found = await replayed(self._watch)
        while self._ends and has_replayed(found, self._ends[0][1]):
            self._current_at, _ = self._ends.popleft()

    async def check(self) -> dict[str, Any]:
        """For health, which is degraded while lists are read from the primary."""
        lag = self.lag()
        if lag > self._max_lag:
            return {"status": "degraded", "reason": self._away or "behind"}
        return {"lag_seconds": round(lag, 1)}

    async def run(
        self, work: Callable[[Connection], Awaitable[Reply]], seconds: float
    ) -> Reply | None:
        """The reply, with its `Age`; None if the primary is to be asked: the replica lags, or gave
        no success within so many `seconds`.
        """
        current_at = self._current_at
        if time.monotonic() - current_at > self._max_lag:
            REPLICA_LISTS.labels("lagging").inc()
            return None
        # A task, for a server that hangs does not take back its connection either.
        task = asyncio.create_task(self._ask(work))
        try:
            await asyncio.wait({task}, timeout=seconds)
        finally:
            task.cancel()
        answer = task.result() if task.done() else "slow"
        if isinstance(answer, str):
            REPLICA_LISTS.labels(answer).inc()
            return None
        REPLICA_LISTS.labels("answered").inc()
        age = str(math.ceil(time.monotonic() - current_at))
        return replace(answer, headers={**answer.headers, "Age": age})

    async def _ask(self, work: Callable[[Connection], Awaitable[Reply]]) -> Reply | str:
        """The reply, or why there is none."""
        try:
            async with self._pool.acquire() as conn:
                return await work(conn)
        except (Problem, asyncpg.DataError):
            return "refused"
        except CONFLICTS:  # recovery had to remove a row that was still wanted
            return "conflict"
        except Exception as error:  # noqa: BLE001 - the primary answers, this or another error
            log.warning("replica_failed", error=type(error).__name__)
            return "failed"
