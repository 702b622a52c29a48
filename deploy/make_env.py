"""Writes `.env` with fresh secrets for docker compose; never overwrites one that stands."""

import base64
import os
import secrets
import sys
from pathlib import Path

SERVICES = ("IDENTITY", "PROJECTS", "WEBHOOKS", "AUDIT")


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _password() -> str:
    """Begins with a letter: the NATS server reads it as a configuration value."""
    return "p" + secrets.token_hex(24)


def main() -> int:
    path = Path(".env")
    values = {
        "TENANTRY_OPERATOR_KEY": "tnt_op_" + secrets.token_urlsafe(32),
        "TENANTRY_HASH_KEY": _key(),
        "TENANTRY_ENCRYPTION_KEYS": f"k1:{_key()}",
        "POSTGRES_PASSWORD": _password(),
        "REDIS_PASSWORD": _password(),
        "TENANTRY_NATS_PASSWORD_ADMIN": _password(),
        "TENANTRY_NATS_PASSWORD_EDGE": _password(),
    }
    for service in SERVICES:
        values[f"TENANTRY_NATS_PASSWORD_{service}"] = _password()
        values[f"TENANTRY_POSTGRES_PASSWORD_{service}"] = _password()
        values[f"TENANTRY_POSTGRES_PASSWORD_{service}_OWNER"] = _password()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        sys.stderr.write(".env exists already: move it away to make a new one\n")
        return 1
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{name}={value}\n" for name, value in values.items())
    sys.stdout.write(
        "Wrote .env with fresh secrets (mode 0600). Keep it: data is sealed with it.\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
