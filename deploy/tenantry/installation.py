"""Which product a command means: told by options, by the environment, or by `tenantry dev`.

Databases and broker come all from one place, never from two: --data first, then the environment
where it names any of them, then the folder `.tenantry` where there is one.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tenantry import running
from tenantry.failing import Misconfigured
from tenantry.keys import SERVICES

DEFAULT_FOLDER = Path(".tenantry")
DEFAULT_URL = "http://127.0.0.1:8400"
KEY_VARIABLES = {"operator_key": "TENANTRY_OPERATOR_KEY", "api_key": "TENANTRY_API_KEY"}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_OF_THE_SERVERS = ("NATS_ADMIN_URL", "ENCRYPTION_KEYS", "HASH_KEY")


@dataclass(frozen=True)
class Backing:
    """Databases, broker and keys of an installation. `origin` says where that was read, `folder` is
    set if that was a data folder.

    What is not known is absent; the functions that need it raise Misconfigured, naming it.
    """

    origin: str
    folder: Path | None
    databases: dict[str, str]
    migrations: dict[str, str]
    nats_admin_url: str | None
    redis_url: str | None
    hash_key: str | None
    encryption_keys: str | None

    def database(self, service: str) -> str:
        return self._known(self.databases.get(service), f"TENANTRY_{service.upper()}_DATABASE_URL")

    def migration(self, service: str) -> str:
        url = self.migrations.get(service)
        return self._known(url, f"TENANTRY_{service.upper()}_MIGRATION_URL")

    def nats(self) -> str:
        return self._known(self.nats_admin_url, "TENANTRY_NATS_ADMIN_URL")

    def keys(self) -> tuple[str, str]:
        """The hash key and the encryption keys."""
        return (
            self._known(self.hash_key, "TENANTRY_HASH_KEY"),
            self._known(self.encryption_keys, "TENANTRY_ENCRYPTION_KEYS"),
        )

    def _known(self, value: str | None, variable: str) -> str:
        if value:
            return value
        raise Misconfigured(
            f"{variable} is not set ({self.origin} was asked)",
            f"Set {variable}, or name the data folder of a running `tenantry dev` with --data.",
            variable=variable,
        )


def backing(data: Path | None) -> Backing:
    """Raises Misconfigured when --data names a folder on which nothing runs."""
    if data is not None:
        return _of_folder(data)
    if not _environment_names_servers() and DEFAULT_FOLDER.is_dir():
        return _of_folder(DEFAULT_FOLDER)
    return _of_environment()


def address(url: str | None, data: Path | None) -> str:
    """The URL of the API, without a slash at its end."""
    told = url or (None if data else os.environ.get("TENANTRY_URL"))
    if told is None:
        there = running.read(data or DEFAULT_FOLDER)
        if there is None and data is not None:
            raise _nothing_runs(data)
        told = there.url if there else DEFAULT_URL
    parts = urlsplit(told)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Misconfigured(f"{told} is no URL of an API", "Give one such as " + DEFAULT_URL + ".")
    return told.rstrip("/")


def credential(kind: str, url: str, data: Path | None) -> str:
    """The `operator_key` or the `api_key`.

    Without --data, a key of the default folder is given to nobody but this machine.
    """
    variable = KEY_VARIABLES[kind]
    told = os.environ.get(variable)
    if told and data is None:
        return told
    is_near = urlsplit(url).hostname in _LOOPBACK
    folder = data or (DEFAULT_FOLDER if is_near and DEFAULT_FOLDER.is_dir() else None)
    if folder is not None:
        secrets = _secrets(folder)
        key = secrets["operator_key"] if kind == "operator_key" else secrets["demo"]["api_key"]
        if key:
            return str(key)
    if told:
        return told
    raise Misconfigured(
        f"{variable} is not set",
        f"Set {variable}, or name the data folder of `tenantry dev` with --data.",
        variable=variable,
    )


def _of_folder(folder: Path) -> Backing:
    secrets = _secrets(folder)
    there = running.read(folder)
    if there is None:
        raise _nothing_runs(folder)
    return Backing(
        origin=str(folder),
        folder=folder,
        databases=there.databases,
        migrations=there.migrations,
        nats_admin_url=there.nats_admin_url,
        redis_url=there.redis_url,
        hash_key=secrets["hash_key"],
        encryption_keys=secrets["encryption_keys"],
    )


def _of_environment() -> Backing:
    given = os.environ
    return Backing(
        origin="the environment",
        folder=None,
        databases=_urls("DATABASE_URL"),
        migrations=_urls("MIGRATION_URL"),
        nats_admin_url=given.get("TENANTRY_NATS_ADMIN_URL"),
        redis_url=given.get("TENANTRY_REDIS_URL"),
        hash_key=given.get("TENANTRY_HASH_KEY"),
        encryption_keys=given.get("TENANTRY_ENCRYPTION_KEYS"),
    )


def _urls(suffix: str) -> dict[str, str]:
    named = {service: f"TENANTRY_{service.upper()}_{suffix}" for service in SERVICES}
    return {service: os.environ[name] for service, name in named.items() if os.environ.get(name)}


def _environment_names_servers() -> bool:
    names = [f"TENANTRY_{name}" for name in _OF_THE_SERVERS]
    return bool(
        _urls("DATABASE_URL")
        or _urls("MIGRATION_URL")
        or any(os.environ.get(name) for name in names)
    )


def _secrets(folder: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads((folder / "secrets.json").read_text())
    except (OSError, ValueError):
        raise Misconfigured(
            f"{folder} is not a data folder that can be read",
            "Start `tenantry dev` there first, or name its folder with --data.",
        ) from None
    return content


def _nothing_runs(folder: Path) -> Misconfigured:
    return Misconfigured(
        f"nothing runs on {folder}", f"Start it with `tenantry dev --data {folder}`."
    )
