"""Writes `.env` with fresh secrets for docker compose; to an existing file it adds what is missing.

Usage: make_env.py [FILE]
"""

import base64
import os
import secrets
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "libs"))
from contracts.topology import ENCRYPTING_SERVICES, SERVICE_NAMES


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _password() -> str:
    """Begins with a letter: the NATS server reads it as a configuration value."""
    return "p" + secrets.token_hex(24)


def _fresh_values(existing: dict[str, str]) -> dict[str, str]:
    """The keys of an `.env` of version 0.1, which had one list for all, still decrypt."""
    oldest = existing.get("TENANTRY_ENCRYPTION_KEYS")
    older = f",{oldest}" if oldest else ""
    values = {
        "COMPOSE_PROFILES": "welcome",
        "TENANTRY_OPERATOR_KEY": "tnt_op_" + secrets.token_urlsafe(32),
        "POSTGRES_PASSWORD": _password(),
        "REDIS_PASSWORD": _password(),
        "TENANTRY_NATS_PASSWORD_ADMIN": _password(),
        "TENANTRY_NATS_PASSWORD_EDGE": _password(),
        "TENANTRY_NATS_PASSWORD_SUBSCRIBER": _password(),
    }
    for name in SERVICE_NAMES:
        values[f"TENANTRY_{name.upper()}_HASH_KEYS"] = f"{name}-1:{_key()}"
    for name in ENCRYPTING_SERVICES:
        values[f"TENANTRY_{name.upper()}_ENCRYPTION_KEYS"] = f"{name}-1:{_key()}{older}"
    for service in map(str.upper, SERVICE_NAMES):
        values[f"TENANTRY_NATS_PASSWORD_{service}"] = _password()
        values[f"TENANTRY_POSTGRES_PASSWORD_{service}"] = _password()
        values[f"TENANTRY_POSTGRES_PASSWORD_{service}_OWNER"] = _password()
    return values


def main(path: Path) -> int:
    """The exit code. A name that is in the file, even in a comment, is not written again."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "r+") as file:
        existing = file.read()
        lines = [line.lstrip("# ").partition("=") for line in existing.splitlines()]
        known = {name: value for name, _, value in lines}
        fresh = _fresh_values(known)
        missing = {name: value for name, value in fresh.items() if name not in known}
        file.write("\n" if existing and not existing.endswith("\n") else "")
        file.writelines(f"{name}={value}\n" for name, value in missing.items())
    if not existing:
        message = (
            f"Wrote {path} with fresh secrets (mode 0600). Keep it: data is encrypted with it."
        )
    elif missing:
        message = f"Added to {path}: {', '.join(missing)}"
    else:
        message = f"{path} has everything that is needed."
    sys.stdout.write(message + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(*(sys.argv[1:2] or [".env"]))))
