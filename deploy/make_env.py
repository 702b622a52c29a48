"""Writes `.env` with fresh secrets for docker compose; to an existing file it adds what is missing.

Usage: make_env.py [FILE]. Beside the file, in `secrets/`, it writes for each container the files
that this one may read, so that no secret stands in the environment of a container.
"""

import base64
import os
import secrets
import sys
from collections.abc import Iterator
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
        "REDIS_PASSWORD_CONSOLE": _password(),
        "TENANTRY_CONSOLE_KEYS": f"console-1:{_key()}",
        "TENANTRY_PROXY_KEY": _password(),
        "TENANTRY_NATS_PASSWORD_ADMIN": _password(),
        "TENANTRY_NATS_PASSWORD_EDGE": _password(),
        "TENANTRY_NATS_PASSWORD_SUBSCRIBER": _password(),
    }
    values[CHECKPOINT_SEEDS] = f"checkpoints-1:{_key()}"
    for name in SERVICE_NAMES:
        values[f"TENANTRY_{name.upper()}_HASH_KEYS"] = f"{name}-1:{_key()}"
    for name in ENCRYPTING_SERVICES:
        values[f"TENANTRY_{name.upper()}_ENCRYPTION_KEYS"] = f"{name}-1:{_key()}{older}"
    for service in map(str.upper, SERVICE_NAMES):
        values[f"TENANTRY_NATS_PASSWORD_{service}"] = _password()
        values[f"TENANTRY_POSTGRES_PASSWORD_{service}"] = _password()
        values[f"TENANTRY_POSTGRES_PASSWORD_{service}_OWNER"] = _password()
    return values


CHECKPOINT_SEEDS = "TENANTRY_AUDIT_CHECKPOINT_SEEDS"
"""What the keys of the audit trail's checkpoints are derived from: for audit alone."""
_KEYS = ("HASH_KEY", "HASH_KEYS", "ENCRYPTION_KEYS")
_SECOND_KEYS = ("TENANTRY_OPERATOR_KEY_2", "TENANTRY_PROXY_KEY_2")
"""The edge accepts them as well, while one is rotated."""
_HASHED_SECRETS = ("identity", "projects")
"""They still verify what version 0.1 has hashed, with the one key that it had for all."""


def _nats_url(values: dict[str, str], user: str) -> str:
    return f"nats://{user}:{values[f'TENANTRY_NATS_PASSWORD_{user.upper()}']}@nats:4222"


def _database_url(values: dict[str, str], role: str, database: str) -> str:
    password = values[f"TENANTRY_POSTGRES_PASSWORD_{role.upper()}"]
    return f"postgresql://{role}:{password}@postgres/{database}"


def _files(values: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Container, variable and value: who may know what."""
    yield from _files_of_servers(values)
    for name in SERVICE_NAMES:
        yield from _files_of_service(values, name)
    if seeds := values.get(CHECKPOINT_SEEDS):
        yield "audit", CHECKPOINT_SEEDS, seeds
    redis_url = f"redis://:{values['REDIS_PASSWORD']}@redis:6379/0"
    sessions_url = f"redis://console:{values['REDIS_PASSWORD_CONSOLE']}@redis:6379/0"
    yield "console", "TENANTRY_REDIS_URL", sessions_url
    yield "console", "TENANTRY_CONSOLE_KEYS", values["TENANTRY_CONSOLE_KEYS"]
    for container in ("edge", "console"):
        yield container, "TENANTRY_PROXY_KEY", values["TENANTRY_PROXY_KEY"]
    yield "edge", "TENANTRY_NATS_URL", _nats_url(values, "edge")
    for container in ("streams", "tenantry"):
        yield container, "TENANTRY_NATS_ADMIN_URL", _nats_url(values, "admin")
    for container in ("edge", "tenantry"):
        yield container, "TENANTRY_REDIS_URL", redis_url
    for container in ("edge", "tenantry", "api"):
        yield container, "TENANTRY_OPERATOR_KEY", values["TENANTRY_OPERATOR_KEY"]
    yield from (("edge", each, values[each]) for each in _SECOND_KEYS if values.get(each))
    for variable, value in values.items():
        if variable.startswith("TENANTRY_") and variable.endswith(_KEYS):
            yield "tenantry", variable, value


def _files_of_servers(values: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    for variable in ("REDIS_PASSWORD", "REDIS_PASSWORD_CONSOLE"):
        yield "redis", variable, values[variable]
    for variable, value in values.items():
        if "POSTGRES_PASSWORD" in variable:
            yield "postgres", variable, value
        elif "NATS_PASSWORD" in variable:
            yield "nats", variable, value


def _files_of_service(values: dict[str, str], name: str) -> Iterator[tuple[str, str, str]]:
    upper, url = name.upper(), _database_url(values, name, name)
    yield name, "TENANTRY_NATS_URL", _nats_url(values, name)
    yield name, "TENANTRY_DATABASE_URL", url
    yield "tenantry", f"TENANTRY_{upper}_DATABASE_URL", url
    for container in ("migrate", "tenantry"):
        owner_url = _database_url(values, f"{name}_owner", name)
        yield container, f"TENANTRY_{upper}_MIGRATION_URL", owner_url
    for key in ("HASH_KEYS", "ENCRYPTION_KEYS"):
        if value := values.get(f"TENANTRY_{upper}_{key}"):
            yield name, f"TENANTRY_{key}", value
    if name in _HASHED_SECRETS and (oldest := values.get("TENANTRY_HASH_KEY")):
        yield name, "TENANTRY_HASH_KEY", oldest


def _write_files(folder: Path, values: dict[str, str]) -> None:
    """Nobody else on this machine gets into the folder; in a container its user may read them."""
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    for container, variable, value in _files(values):
        (folder / container).mkdir(exist_ok=True)
        (folder / container).chmod(0o755)
        file = folder / container / variable.lower()
        file.write_text(value)
        file.chmod(0o644)


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
    lines = [line.partition("=") for line in existing.splitlines() if not line.startswith("#")]
    _write_files(path.parent / "secrets", {name: value for name, _, value in lines} | missing)
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
