"""A stack with two edges and two replicas of every service, and who of them leads."""

from dataclasses import replace

import asyncpg
from chaos.stack import ProxiedStack
from contracts.topology import SERVICE_NAMES, Lock
from tenantry.dev import services
from tenantry.processes.supervisor import Child
from tenantry.servers.ports import HOST, free_ports

PROCESSES = (*SERVICE_NAMES, "edge")
LOCKS = {"relay": Lock.RELAY, "consumer": Lock.CONSUMER}

# Of a lock by a bigint PostgreSQL shows the two halves.
_HOLDERS = """
SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database
 WHERE locktype = 'advisory' AND granted AND datname = current_database()
   AND (classid::bigint << 32) | objid::bigint = $1
"""


def second(name: str) -> str:
    return f"{name}-2"


class ReplicatedStack(ProxiedStack):
    """The second replicas share databases, broker and proxies with the first, all supervised."""

    def __post_init__(self) -> None:
        super().__post_init__()
        names = (*PROCESSES, *services.MANAGEMENT.values())
        self.other_ports = dict(zip(names, free_ports(len(names)), strict=True))

    @property
    def other_url(self) -> str:
        """The second edge."""
        return f"http://{HOST}:{self.other_ports['edge']}"

    async def start_process(self, name: str) -> None:
        await super().start_process(name)
        other = second(name)
        spec = services.child_spec(name, self.servers, self.other_ports)
        program = replace(spec.program, name=other, log=self.servers.data.log(other))
        child = self.children[other] = Child(replace(spec, program=program), self)
        await child.start()

    async def leaders(self) -> dict[str, int]:
        """How many sessions lead, by service and by what they do."""
        found = {}
        for service in SERVICE_NAMES:
            conn = await asyncpg.connect(self.servers.direct_database_url(service))
            try:
                for what, lock in LOCKS.items():
                    found[f"{what} of {service}"] = len(await conn.fetch(_HOLDERS, lock))
            finally:
                await conn.close()
        return found

    async def is_led(self) -> bool:
        """One relay and one consumer in each service."""
        return set((await self.leaders()).values()) == {1}
