"""Allowed origins and redirects of a project: what is accepted, and the form that is stored.

Pure. Origins as of RFC 6454, redirects as of RFC 6749 3.1.2 and, for native apps, RFC 8252 7.
"""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from contracts.fields import fault

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_CUSTOM_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")
_VISIBLE = re.compile(r"[\x21-\x7e]+")
# Brackets around the whole host only, and in them an IPv6 address without a zone (RFC 6874).
_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:]*))(?::[0-9]*)?", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_DEFAULT_PORT = {"http": 80, "https": 443}


def _split(value: str) -> SplitResult:
    if not _VISIBLE.fullmatch(value) or "\\" in value:
        raise fault("invalid_url", "must be written in visible ASCII (use punycode and %-escapes)")
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise fault("invalid_url", "must be a valid URL") from None
    if "@" in parts.netloc:
        raise fault("userinfo", "must not contain a user name or password")
    return parts


def _host(parts: SplitResult) -> str:
    """In lower case; of an IPv6 address the shortest form, without brackets."""
    found = _AUTHORITY.fullmatch(parts.netloc)
    if found is None:
        raise fault("invalid_host", "must name a valid host")
    if found[1] is None:
        return found[2].lower()
    try:
        return str(ipaddress.IPv6Address(found[1]))
    except ValueError:
        raise fault("invalid_host", "must have an IPv6 address in its brackets") from None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def _check_host(host: str) -> None:
    """A DNS name of plain labels, or an IP address."""
    if _is_address(host):
        return
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise fault("invalid_host", "must name a valid host")
    if _NUMBER.fullmatch(labels[-1]):
        raise fault("invalid_host", "must not end in a number unless it is an IPv4 address")


def _authority(parts: SplitResult, host: str) -> str:
    shown = f"[{host}]" if ":" in host else host
    if parts.netloc.endswith(":"):
        raise fault("invalid_port", "must not end its host with a colon")
    if parts.port is None or parts.port == _DEFAULT_PORT.get(parts.scheme):
        return shown
    if parts.port == 0:
        raise fault("invalid_port", "must have a port of 1 to 65535")
    return f"{shown}:{parts.port}"


def normal_origin(value: str) -> str:
    """`scheme://host[:port]` in lower case without a default port.

    `http` for loopback only; `https://*.example.com` stands for one label or more.
    """
    parts = _split(value)
    scheme, host = parts.scheme, _host(parts)
    if scheme not in ("http", "https"):
        raise fault("invalid_scheme", "must begin with https:// (or http:// for loopback)")
    if not value.lower().startswith(f"{scheme}://") or not host:
        raise fault("invalid_origin", "must look like https://app.example.com")
    if parts.path or "?" in value or "#" in value:
        raise fault("invalid_origin", "must have no path, trailing slash, query or fragment")
    wildcard = host.startswith("*.")
    base = host[2:] if wildcard else host
    if "*" in base:
        raise fault("invalid_wildcard", "may have one leading *. label only")
    _check_host(base)
    if wildcard and (scheme != "https" or base.count(".") < 1 or base.rsplit(".")[-1].isdigit()):
        raise fault("invalid_wildcard", "may use *. on https only, before at least two labels")
    if scheme == "http" and not _is_loopback(host):
        raise fault("insecure_origin", "must use https, except on localhost and loopback")
    return f"{scheme}://{_authority(parts, host)}"


def normal_redirect(value: str) -> str:
    """An absolute URI without fragment or userinfo, its scheme and host in lower case.

    `http` for loopback only; other schemes need a dot (`com.example.app:/callback`).
    """
    parts = _split(value)
    scheme = parts.scheme
    if "#" in value:
        raise fault("fragment", "must have no fragment")
    if "*" in value:
        raise fault("wildcard", "must have no wildcard: list each redirect")
    if scheme in ("http", "https"):
        host = _host(parts)
        if not value.lower().startswith(f"{scheme}://") or not host:
            raise fault("invalid_redirect", "must be absolute, such as https://app.example.com/cb")
        _check_host(host)
        if scheme == "http" and not _is_loopback(host):
            raise fault("insecure_redirect", "must use https, except on loopback")
        rest = value.split("://", 1)[1][len(parts.netloc) :]
        return f"{scheme}://{_authority(parts, host)}{rest}"
    if not _CUSTOM_SCHEME.fullmatch(scheme):
        raise fault(
            "invalid_scheme", "must use https, or a reverse-domain scheme such as com.example.app"
        )
    rest = value.split(":", 1)[1]
    if rest != "/" and not rest.strip("/"):
        raise fault("invalid_redirect", "must have a path after its scheme")
    return f"{scheme}:{rest}"
