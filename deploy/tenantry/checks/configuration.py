"""Configuration: keys are strong and well-formed, and others cannot read the secrets."""

import os
import stat
from pathlib import Path

from chassis.settings import decode_key

from tenantry.checks.result import CheckResult, failed, ok, skipped, warning
from tenantry.installation import KEY_VARIABLES, Installation

OPERATOR_KEY_LENGTH = 32
_NEW_KEY = "`openssl rand -base64 32`"


def check_configuration(installation: Installation) -> list[CheckResult]:
    results = [_check_hash_key(installation), _check_encryption_keys(installation)]
    if (folder := installation.folder) is not None:
        return [*results, *map(_check_privacy, (folder, folder / "secrets.json"))]
    return [*results, _check_operator_key(), *_check_development_flags()]


def _check_hash_key(installation: Installation) -> CheckResult:
    name = "TENANTRY_HASH_KEY"
    if installation.hash_key is None:
        return skipped("configuration", "hash key", name)
    if len(decode_key(installation.hash_key)) < 32:
        fix = f"It must be the base64 of at least 32 random bytes, as {_NEW_KEY} makes; set {name}."
        return failed("configuration", "hash key", "weak or not base64", fix)
    return ok("configuration", "hash key", "32 bytes or more")


def _check_encryption_keys(installation: Installation) -> CheckResult:
    name = "TENANTRY_ENCRYPTION_KEYS"
    if installation.encryption_keys is None:
        return skipped("configuration", "encryption keys", name)
    pairs = [entry.partition(":") for entry in installation.encryption_keys.split(",")]
    names = [key_id for key_id, _, _ in pairs]
    if not all(key_id and len(decode_key(key)) == 32 for key_id, _, key in pairs):
        fix = f"Set {name} to id:base64 of 32 bytes each ({_NEW_KEY}), separated by commas."
        return failed("configuration", "encryption keys", "not id:base64 of 32 bytes", fix)
    if len(set(names)) != len(names):
        fix = f"Give every key of {name} an id of its own: what it encrypted carries the id."
        return failed("configuration", "encryption keys", "two have the same id", fix)
    detail = f"{names[0]} encrypts, {', '.join(names)} decrypt"
    return ok("configuration", "encryption keys", detail)


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
