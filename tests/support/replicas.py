"""A stack with two of each: two edges, and two replicas of every service, all supervised."""

from dataclasses import replace

import asyncpg
from contracts.topology import Lock
from tenantry import services
from tenantry.keys import SERVICES
from tenantry.loopback import HOST, free_ports
from tenantry.supervisor import Child

from support.fire.stack import CabledStack

PROCESSES = (*SERVICES, "edge")
LEADING = {"relay": Lock.RELAY, "consumer": Lock.CONSUMER}

# Of a lock by a bigint PostgreSQL shows the two halves.
_HOLDERS = """
SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database
 WHERE locktype = 'advisory' AND granted AND datname = current_database()
   AND (classid::bigint << 32) | objid::bigint = $1
"""


def twin(name: str) -> str:
    return f"{name}-2"


class ReplicatedStack(CabledStack):
    """The twins share databases, broker and cables with those they are twins of."""

    def __post_init__(self) -> None:
        super().__post_init__()
        twins = map(twin, PROCESSES)
        self.twin_ports = dict(zip(twins, free_ports(len(PROCESSES)), strict=True))

    @property
    def twin_url(self) -> str:
        """The other edge."""
        return f"http://{HOST}:{self.twin_ports[twin('edge')]}"

    async def _start_process(self, name: str) -> None:
        await super()._start_process(name)
        other = twin(name)
        duty = services.duty_of(name, self.servers, self.twin_ports[other])
        program = replace(duty.program, name=other, log=self.servers.data.log(other))
        child = self.children[other] = Child(replace(duty, program=program), self)
        await child.start()

    async def leaders(self) -> dict[str, int]:
        """How many sessions lead, by service and by what they do."""
        found = {}
        for service in SERVICES:
            conn = await asyncpg.connect(self.servers.plain_database_url(service))
            try:
                for what, lock in LEADING.items():
                    found[f"{what} of {service}"] = len(await conn.fetch(_HOLDERS, lock))
            finally:
                await conn.close()
        return found

    async def is_led(self) -> bool:
        """One relay and one consumer in each service."""
        return set((await self.leaders()).values()) == {1}
