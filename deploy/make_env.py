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
from contracts.topology import SERVICE_NAMES


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _password() -> str:
    """Begins with a letter: the NATS server reads it as a configuration value."""
    return "p" + secrets.token_hex(24)


def _fresh_values() -> dict[str, str]:
    values = {
        "COMPOSE_PROFILES": "welcome",
        "TENANTRY_OPERATOR_KEY": "tnt_op_" + secrets.token_urlsafe(32),
        "TENANTRY_HASH_KEY": _key(),
        "TENANTRY_ENCRYPTION_KEYS": f"k1:{_key()}",
        "POSTGRES_PASSWORD": _password(),
        "REDIS_PASSWORD": _password(),
        "TENANTRY_NATS_PASSWORD_ADMIN": _password(),
        "TENANTRY_NATS_PASSWORD_EDGE": _password(),
        "TENANTRY_NATS_PASSWORD_SUBSCRIBER": _password(),
    }
    for service in map(str.upper, SERVICE_NAMES):
        values[f"TENANTRY_NATS_PASSWORD_{service}"] = _password()
        values[f"TENANTRY_POSTGRES_PASSWORD_{service}"] = _password()
        values[f"TENANTRY_POSTGRES_PASSWORD_{service}_OWNER"] = _password()
    return values


_KEYS = ("HASH_KEY", "HASH_KEYS", "ENCRYPTION_KEYS")


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
    redis_url = f"redis://:{values['REDIS_PASSWORD']}@redis:6379/0"
    yield "edge", "TENANTRY_NATS_URL", _nats_url(values, "edge")
    for container in ("streams", "tenantry"):
        yield container, "TENANTRY_NATS_ADMIN_URL", _nats_url(values, "admin")
    for container in ("edge", "tenantry"):
        yield container, "TENANTRY_REDIS_URL", redis_url
    for container in ("edge", "tenantry", "api"):
        yield container, "TENANTRY_OPERATOR_KEY", values["TENANTRY_OPERATOR_KEY"]
    for variable, value in values.items():
        if variable.startswith("TENANTRY_") and variable.endswith(_KEYS):
            yield "tenantry", variable, value


def _files_of_servers(values: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    yield "redis", "REDIS_PASSWORD", values["REDIS_PASSWORD"]
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
    for key in _KEYS:
        if value := values.get(f"TENANTRY_{upper}_{key}", values.get(f"TENANTRY_{key}")):
            yield name, f"TENANTRY_{key}", value


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
        names = {line.lstrip("# ").partition("=")[0] for line in existing.splitlines()}
        missing = {name: value for name, value in _fresh_values().items() if name not in names}
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
