"""Configuration: keys are strong and well-formed, and others cannot read the secrets."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from chassis.settings import KEYS_FORM, parse_encryption_keys, parse_keys
from contracts.topology import ENCRYPTING_SERVICES, SERVICE_NAMES

from tenantry.checks.result import CheckResult, failed, ok, skipped, warning
from tenantry.installation import KEY_VARIABLES, Installation

OPERATOR_KEY_LENGTH = 32
_NEW_KEY = "`openssl rand -base64 32`"


def check_configuration(installation: Installation) -> list[CheckResult]:
    results = [*_check_hash_keys(installation), *_check_encryption_keys(installation)]
    if (folder := installation.folder) is not None:
        return [*results, *map(_check_privacy, (folder, folder / "secrets.json"))]
    return [*results, _check_operator_key(), *_check_development_flags()]


def _check_hash_keys(installation: Installation) -> Iterator[CheckResult]:
    for service in SERVICE_NAMES:
        keys = installation.hash_keys.get(service)
        yield _check_keys(service, "hash keys", keys, parse_keys, "{} hashes, {} verify")


def _check_encryption_keys(installation: Installation) -> Iterator[CheckResult]:
    for service in ENCRYPTING_SERVICES:
        keys = installation.encryption_keys.get(service)
        detail = "{} encrypts, {} decrypt"
        yield _check_keys(service, "encryption keys", keys, parse_encryption_keys, detail)


def _check_keys(
    service: str,
    what: str,
    keys: str | None,
    parse: Callable[[str], dict[str, bytes]],
    detail: str,
) -> CheckResult:
    variable = f"TENANTRY_{service.upper()}_{what.replace(' ', '_').upper()}"
    of = f"{what} of {service}"
    if keys is None:
        return skipped("configuration", of, variable)
    try:
        names = list(parse(keys))
    except ValueError as error:
        fix = f"Set {variable} to {KEYS_FORM} ({_NEW_KEY} makes one), each with an id of its own."
        return failed("configuration", of, str(error), fix)
    return ok("configuration", of, detail.format(names[0], ", ".join(names)))


def _check_operator_key() -> CheckResult:
    name = KEY_VARIABLES["operator_key"]
    key = os.environ.get(name)
    if key is None:
        return skipped("configuration", "operator key", name)
    if len(key) < OPERATOR_KEY_LENGTH:
        fix = f"Set {name} to at least {OPERATOR_KEY_LENGTH} random characters."
        return failed("configuration", "operator key", "too short", fix)
    return ok("configuration", "operator key", "long enough")


def _check_development_flags() -> list[CheckResult]:
    name = "TENANTRY_WEBHOOKS_ALLOW_PRIVATE"
    if os.environ.get(name, "").lower() not in ("true", "1", "yes", "on"):
        return []
    fix = f"Unset {name} outside development: webhooks may reach any machine of your network."
    return [warning("configuration", "webhooks", "private addresses are allowed", fix)]


def _check_privacy(path: Path) -> CheckResult:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        fix = f"Run `chmod go= {path}`: it holds every secret."
        return failed("configuration", str(path), f"others may enter it ({mode:04o})", fix)
    return ok("configuration", str(path), "its owner's alone")
