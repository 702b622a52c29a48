"""What clients hold of a process: connections, and bytes of requests and of unread answers.

Each address has a bound, and all have one. Where places are scarce the connection that has been
idle longest makes room; where memory is scarce the one that has waited longest for its client, of
the address that holds most. A request that is at work is not ended for another one.
"""

import resource
from dataclasses import dataclass, field
from typing import Protocol

from chassis.client_addresses import TrustedProxies, site_of

MEBIBYTE = 1024 * 1024
OTHER_FILES = 256
"""What a process has open beside its clients' connections: a pool, NATS, Redis, logs."""


@dataclass(frozen=True)
class ClientLimits:
    """`connections` and bytes in all; of one address (IPv6: of its /64); and the connections of a
    trusted proxy, which has no bound of bytes: those count for the clients that it speaks for.
    """

    connections: int = 4096
    connections_per_address: int = 512
    connections_per_proxy: int = 2048
    memory: int = 64 * MEBIBYTE
    memory_per_address: int = 16 * MEBIBYTE


class ClientConnection(Protocol):
    """A connection as its limits see it: of which site it is, and for which other address it
    speaks if it is a proxy's; `held` bytes count for `payer`.
    """

    site: "Site"
    speaks_for: str | None
    payer: "Site"
    held: int

    @property
    def waits(self) -> bool:
        """For its client: to send the rest of a request, or to read an answer."""

    def close_idle(self) -> None:
        """Ends it; it has no request under way."""

    def shed(self) -> None:
        """Ends it, with what it holds."""


@dataclass(eq=False, slots=True)
class Site:
    """What one address holds. `idle` has the connection first that has been idle longest."""

    name: str
    max_connections: int
    max_memory: int
    connections: int = 0
    idle: dict[ClientConnection, None] = field(default_factory=dict)
    held: int = 0
    """Bytes; `waiting` has the connection first that has waited longest with some of them."""
    waiting: dict[ClientConnection, None] = field(default_factory=dict)


class Clients:
    """All clients of one server."""

    def __init__(self, limits: ClientLimits, proxies: TrustedProxies) -> None:
        self.limits = limits
        self.proxies = proxies
        self.connections = 0
        self.held = 0
        self._sites: dict[str, Site] = {}

    def site(self, address: str | None, *, is_proxy: bool = False) -> Site:
        """The site of an address; it is kept as long as it holds anything."""
        name = f"proxy {address}" if is_proxy else site_of(address)
        site = self._sites.get(name)
        if site is None:
            limits = self.limits
            site = self._sites[name] = (
                Site(name, limits.connections_per_proxy, limits.memory)
                if is_proxy
                else Site(name, limits.connections_per_address, limits.memory_per_address)
            )
        return site

    def admit(self, connection: ClientConnection) -> bool:
        """Whether there is a place for it. Another one that is idle may have to go."""
        site = connection.site
        if site.connections >= site.max_connections and not _close_idle(site):
            return False
        if self.connections >= self.limits.connections and not self._close_idle_of_largest():
            if not site.connections:
                self._drop_if_empty(site)
            return False
        self.connections += 1
        site.connections += 1
        site.idle[connection] = None
        return True

    def release(self, connection: ClientConnection) -> None:
        """It is gone, and so is what it held."""
        self.hold(connection, 0)
        self.connections -= 1
        connection.site.connections -= 1
        connection.site.idle.pop(connection, None)
        self._drop_if_empty(connection.site)

    def hold(self, connection: ClientConnection, size: int) -> None:
        """It holds so many bytes from now on. If that is too much for its address, or for all, the
        connections go that have waited longest, of its address or of the one that holds most; if
        none waits, this one.
        """
        if not connection.held:
            if not size:
                return
            of_proxy = connection.speaks_for is not None
            connection.payer = self.site(connection.speaks_for) if of_proxy else connection.site
        site, grown = connection.payer, size - connection.held
        connection.held = size
        site.held += grown
        self.held += grown
        if size and connection.waits:
            site.waiting[connection] = None
        else:
            site.waiting.pop(connection, None)
            self._drop_if_empty(site)
        while connection.held and site.held > site.max_memory:
            next(iter(site.waiting), connection).shed()
        while connection.held and self.held > self.limits.memory:
            with_waiting = (each for each in self._sites.values() if each.waiting)
            largest = max(with_waiting, key=lambda each: each.held, default=site)
            next(iter(largest.waiting), connection).shed()

    def _close_idle_of_largest(self) -> bool:
        with_idle = [each for each in self._sites.values() if each.idle]
        return bool(with_idle) and _close_idle(max(with_idle, key=lambda each: each.connections))

    def _drop_if_empty(self, site: Site) -> None:
        if not site.connections and not site.held:
            self._sites.pop(site.name, None)


def _close_idle(site: Site) -> bool:
    for connection in site.idle:
        connection.close_idle()
        return True
    return False


def connection_limit(wanted: int) -> int:
    """How many clients may be connected at once; raises the limit of open files for them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = wanted + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < files:
        soft = files if hard == resource.RLIM_INFINITY else min(files, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else min(soft, files) - OTHER_FILES
