"""Fingerprints of an installation's keys: they show whether a backup fits the keys beside it."""

import hashlib
import hmac

from chassis.settings import decode_key, parse_encryption_keys, parse_keys
from contracts.topology import ENCRYPTING_SERVICES, SERVICE_NAMES

from tenantry.errors import CommandFailed, Misconfigured
from tenantry.installation import Installation

_PURPOSE = b"tenantry backup"
_OLDEST = "hash key of version 0.1"


def fingerprints(installation: Installation) -> dict[str, dict[str, str]]:
    """64 bits of each key's HMAC, by service and name of the key. Raises Misconfigured."""
    found: dict[str, dict[str, str]] = {}
    for service in SERVICE_NAMES:
        keys = _parsed(service, "hash", installation)
        if service in ENCRYPTING_SERVICES:
            keys |= _parsed(service, "encryption", installation)
        found[service] = {
            name: hmac.new(key, _PURPOSE, hashlib.sha256).hexdigest()[:16]
            for name, key in keys.items()
        }
    return found


def check_fingerprints(wanted: dict[str, dict[str, str]], installation: Installation) -> None:
    """Raises CommandFailed unless every key is there that the backup was made with."""
    there = fingerprints(installation)
    missing = [
        f"{name} of {service}"
        for service, keys in wanted.items()
        for name, fingerprint in keys.items()
        if there.get(service, {}).get(name) != fingerprint
    ]
    if missing:
        raise CommandFailed(
            f"the backup was made with other keys: {', '.join(missing)}",
            "Nothing was restored. What these keys have hashed or encrypted could not be used. "
            f"Bring back the keys that were kept beside the backup ({where_kept(installation)}).",
            code="other_keys",
            keys=missing,
        )


def where_kept(installation: Installation) -> str:
    """What must be kept beside a backup, and not in its place."""
    if installation.folder is not None:
        return str(installation.folder / "secrets.json")
    return (
        "TENANTRY_<SERVICE>_HASH_KEYS and TENANTRY_<SERVICE>_ENCRYPTION_KEYS of each service, "
        "TENANTRY_OPERATOR_KEY"
    )


def _parsed(service: str, kind: str, installation: Installation) -> dict[str, bytes]:
    variable = f"TENANTRY_{service.upper()}_{kind.upper()}_KEYS"
    given = installation.hash_keys if kind == "hash" else installation.encryption_keys
    oldest = installation.oldest_hash_key if kind == "hash" else None
    if service not in given and not oldest:
        raise Misconfigured(
            f"{variable} is not set (looked for in {installation.origin})",
            f"Set {variable}: a backup keeps fingerprints of the keys that it needs.",
            variable=variable,
        )
    parse = parse_keys if kind == "hash" else parse_encryption_keys
    try:
        keys = parse(given[service]) if service in given else {}
    except ValueError as error:
        raise Misconfigured(f"{variable}: {error}", f"Correct {variable}.") from None
    named = {f"{kind} key {name}": key for name, key in keys.items()}
    return named | ({_OLDEST: decode_key(oldest)} if oldest else {})
