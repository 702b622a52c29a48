"""Configuration: keys that are strong and well-formed, secrets that nobody else can read."""

import os
import stat
from pathlib import Path

from chassis.settings import decode_key

from tenantry.checks.check import FAILED, OK, WARNING, Check, skipped
from tenantry.installation import KEY_VARIABLES, Backing

OPERATOR_KEY_LENGTH = 32
_NEW_KEY = "`openssl rand -base64 32`"


def examine(place: Backing) -> list[Check]:
    found = [_hash_key(place), _encryption_keys(place)]
    if place.folder is not None:
        return [*found, *map(_privacy, (place.folder, place.folder / "secrets.json"))]
    return [*found, _operator_key(), *_development_flags()]


def _hash_key(place: Backing) -> Check:
    name = "TENANTRY_HASH_KEY"
    if place.hash_key is None:
        return skipped("configuration", "hash key", name)
    if len(decode_key(place.hash_key)) < 32:
        fix = f"It must be the base64 of at least 32 random bytes, as {_NEW_KEY} makes; set {name}."
        return Check("configuration", "hash key", FAILED, "weak or not base64", fix)
    return Check("configuration", "hash key", OK, "32 bytes or more")


def _encryption_keys(place: Backing) -> Check:
    name = "TENANTRY_ENCRYPTION_KEYS"
    if place.encryption_keys is None:
        return skipped("configuration", "encryption keys", name)
    pairs = [entry.partition(":") for entry in place.encryption_keys.split(",")]
    names = [key_id for key_id, _, _ in pairs]
    if not all(key_id and len(decode_key(key)) == 32 for key_id, _, key in pairs):
        fix = f"Set {name} to id:base64 of 32 bytes each ({_NEW_KEY}), separated by commas."
        return Check("configuration", "encryption keys", FAILED, "not id:base64 of 32 bytes", fix)
    if len(set(names)) != len(names):
        fix = f"Give every key of {name} an id of its own: what it sealed carries the id."
        return Check("configuration", "encryption keys", FAILED, "two have the same id", fix)
    detail = f"{names[0]} seals, {', '.join(names)} open"
    return Check("configuration", "encryption keys", OK, detail)


def _operator_key() -> Check:
    name = KEY_VARIABLES["operator_key"]
    key = os.environ.get(name)
    if key is None:
        return skipped("configuration", "operator key", name)
    if len(key) < OPERATOR_KEY_LENGTH:
        fix = f"Set {name} to at least {OPERATOR_KEY_LENGTH} random characters."
        return Check("configuration", "operator key", FAILED, "too short", fix)
    return Check("configuration", "operator key", OK, "long enough")


def _development_flags() -> list[Check]:
    name = "TENANTRY_WEBHOOKS_ALLOW_PRIVATE"
    if os.environ.get(name, "").lower() not in ("true", "1", "yes", "on"):
        return []
    fix = f"Unset {name} outside development: webhooks may reach any machine of your network."
    return [Check("configuration", "webhooks", WARNING, "private addresses are allowed", fix)]


def _privacy(path: Path) -> Check:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return Check(
            "configuration", str(path), FAILED, f"others may enter it ({mode:04o})",
            f"Run `chmod go= {path}`: it holds every secret.",
        )  # fmt: skip
    return Check("configuration", str(path), OK, "its owner's alone")
