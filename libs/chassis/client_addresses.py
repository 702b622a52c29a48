"""Addresses of clients: what counts as one client, and whom a proxy speaks for.

An IPv6 customer has a /64 at least (RFC 6177, RFC 4291 2.5.4): it counts as one address. What a
trusted proxy says is believed as far as it is an address, and never beyond.
"""

import hmac
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

MAX_HOPS = 32
"""Proxies of one's own in a row: as many entries of X-Forwarded-For are read, from its end."""
UNKNOWN = "unknown"


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """None for what is no address. An IPv4 address written as IPv6 is that IPv4 address."""
    if len(text) > 45 or "%" in text:  # the longest one, and a zone that has any name
        return None
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed


@lru_cache(maxsize=10_000)
def site_of(address: str | None) -> str:
    """The address, or the /64 of an IPv6 address; `unknown` for what is none."""
    return _network(address, ipv4_bits=32)


@lru_cache(maxsize=10_000)
def network_of(address: str | None) -> str:
    """The /24 of an address, or the /64 of an IPv6 address; `unknown` for what is none."""
    return _network(address, ipv4_bits=24)


def _network(address: str | None, ipv4_bits: int) -> str:
    parsed = parse_address((address or "").partition("%")[0])
    if parsed is None:
        return UNKNOWN
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed.packed, 64), strict=False))
    if ipv4_bits == 32:
        return str(parsed)
    return str(ip_network((parsed, ipv4_bits), strict=False))


class TrustedProxies:
    """Proxies whose X-Forwarded-For is believed: addresses and networks, separated by commas, and
    whoever sends one of the `keys`, from wherever.

    Raises ValueError for what is no address.
    """

    def __init__(self, proxies: str = "", keys: Iterable[str] = ()) -> None:
        self._networks = [ip_network(each.strip()) for each in proxies.split(",") if each.strip()]
        self._keys = [each.encode() for each in keys]

    def __contains__(self, address: str | None) -> bool:
        parsed = parse_address(address or "") if self._networks else None
        return parsed is not None and any(parsed in network for network in self._networks)

    def is_key(self, given: bytes) -> bool:
        """Whether a proxy has shown one of the keys."""
        return any(hmac.compare_digest(each, given) for each in self._keys)

    def client_of(self, peer: str, forwarded: Iterable[bytes]) -> str:
        """The client of a proxy `peer`, by the lines of X-Forwarded-For: the last entry that is
        none of our proxies. What stands before an entry that is no address has no one to vouch
        for it, so the proxy that passed it on is then the client.
        """
        client, rest = peer, b",".join(forwarded)
        for _ in range(MAX_HOPS):
            rest, _, entry = rest.rpartition(b",")
            parsed = _parse_entry(entry.strip().decode("latin-1"))
            if parsed is not None:
                client = str(parsed)
            elif entry.strip():
                break
            if not rest or client not in self:
                break
        return client


def _parse_entry(entry: str) -> IPv4Address | IPv6Address | None:
    """`192.0.2.1`, `2001:db8::1`, and both with a port: `192.0.2.1:80`, `[2001:db8::1]:80`."""
    if entry.startswith("["):
        return parse_address(entry[1:].partition("]")[0])
    return parse_address(entry.partition(":")[0] if entry.count(":") == 1 else entry)
