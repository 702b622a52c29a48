"""Where a webhook may connect: globally routable addresses only, denied by default.

Pure. A host is either a plain DNS name or an address in its canonical form. Every other notation
that some parser accepts as an address is refused before anything parses it.
Special ranges: IANA's IPv4 and IPv6 special-purpose registries (RFC 6890).
"""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address


class AddressNotAllowedError(ValueError):
    """Says what is wrong with a URL or an address, and never names an address."""


NOT_ALLOWED = "is not an address that webhooks may connect to"

_SPECIAL_V4 = [
    IPv4Network(net)
    for net in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # a cloud's metadata service in the middle of the public space
        "169.254.0.0/16",  # link-local, and most metadata services
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
]
_GLOBAL_V6 = IPv6Network("2000::/3")
"""Everything else embeds IPv4 (mapped, compatible, NAT64), is local, or is unassigned."""
_SPECIAL_V6 = [
    IPv6Network(net)
    for net in (
        "2001::/23",  # protocol assignments, Teredo and ORCHID among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4 embeds IPv4
        "2620:4f:8000::/48",  # AS112
        "3ffe::/16",  # the former 6bone
        "3fff::/20",  # documentation
    )
]
_PRIVATE_V4 = [
    IPv4Network(net) for net in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
]
_PRIVATE_V6 = [IPv6Network("::1/128"), IPv6Network("fc00::/7")]

_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]*")
_PARTS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?]*)([/?].*)?")
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


@lru_cache(maxsize=4096)
def check_url(url: str, *, allow_private: bool = False) -> None:
    """Checks the form of a webhook's URL, and its address if it has a literal one.

    `allow_private` is the development flag: it also allows http, any port, loopback and private
    addresses. Raises AddressNotAllowedError.
    """
    if not url.isascii():
        raise AddressNotAllowedError(
            "must be ASCII: write an international host name in punycode (xn--...) and "
            "percent-encode the rest"
        )
    if "#" in url:
        raise AddressNotAllowedError("must not have a fragment")
    parts = _PARTS.fullmatch(url) if _CHARACTERS.fullmatch(url) else None
    if parts is None:
        raise AddressNotAllowedError("must be a URL such as https://hooks.example.com/in")
    scheme, authority = parts[1].lower(), parts[2]
    if scheme != "https" and not (allow_private and scheme == "http"):
        raise AddressNotAllowedError("must begin with https://")
    if "@" in authority:
        raise AddressNotAllowedError("must not contain a user name or password")
    if "%" in authority:
        raise AddressNotAllowedError("must not contain a percent-encoded host name")
    host_and_port = _AUTHORITY.fullmatch(authority)
    if host_and_port is None:
        raise AddressNotAllowedError("must have a host name such as hooks.example.com")
    host, port = host_and_port[1], host_and_port[2]
    _check_port(scheme, port, allow_private=allow_private)
    _check_host(host, allow_private=allow_private)


def check_address(address: str | IPv4Address | IPv6Address, *, allow_private: bool = False) -> None:
    """Checks an address before a connection is made to it. Raises AddressNotAllowedError."""
    try:
        parsed = ip_address(address)
    except ValueError:
        raise AddressNotAllowedError(NOT_ALLOWED) from None
    if isinstance(parsed, IPv4Address):
        allowed = not any(parsed in net for net in _SPECIAL_V4)
        private = any(parsed in net for net in _PRIVATE_V4)
    else:
        allowed = parsed in _GLOBAL_V6 and not any(parsed in net for net in _SPECIAL_V6)
        private = any(parsed in net for net in _PRIVATE_V6)
    if not (allowed or (allow_private and private)):
        raise AddressNotAllowedError(NOT_ALLOWED)


def _check_port(scheme: str, given: str | None, *, allow_private: bool) -> None:
    port = int(given) if given else (443 if scheme == "https" else 80)
    usual = port in (443, 8443) or port > 1024
    if not 0 < port < 65536 or not (usual or allow_private):
        raise AddressNotAllowedError("must use port 443, 8443 or one above 1024")


def _check_host(host: str, *, allow_private: bool) -> None:
    if host.startswith("["):
        check_address(host[1:-1], allow_private=allow_private)
        return
    labels = host.split(".")
    if not labels[-1]:
        raise AddressNotAllowedError("must not end its host name with a dot")
    if _NUMBER.fullmatch(labels[-1]):
        # Every browser takes a host that ends in a number for an IPv4 address (WHATWG URL).
        try:
            literal = IPv4Address(host)
        except ValueError:
            raise AddressNotAllowedError(
                "must write an IPv4 address as four decimal numbers"
            ) from None
        check_address(literal, allow_private=allow_private)
        return
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise AddressNotAllowedError("must have a host name such as hooks.example.com")
    local = len(labels) == 1 or labels[-1].lower() == "localhost"
    if local and not allow_private:
        raise AddressNotAllowedError("must have a host name that the internet knows")
