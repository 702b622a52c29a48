"""Which installation a command works on, by options, the environment, or a data folder.

Databases and NATS come all from one place, never from two: --data first, then the environment if
it names any of them, then the folder `.tenantry` if it exists.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chassis.tls import with_files
from contracts.topology import ENCRYPTING_SERVICES, SERVICE_NAMES

from tenantry.data_folder.running import find_running
from tenantry.errors import Misconfigured

DEFAULT_FOLDER = Path(".tenantry")
DEFAULT_URL = "http://127.0.0.1:8400"
KEY_VARIABLES = {"operator_key": "TENANTRY_OPERATOR_KEY", "api_key": "TENANTRY_API_KEY"}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SERVER_VARIABLES = (
    "TENANTRY_NATS_ADMIN_URL",
    *(f"TENANTRY_{service.upper()}_ENCRYPTION_KEYS" for service in ENCRYPTING_SERVICES),
    *(f"TENANTRY_{service.upper()}_DATABASE_URL" for service in SERVICE_NAMES),
    *(f"TENANTRY_{service.upper()}_MIGRATION_URL" for service in SERVICE_NAMES),
)


@dataclass(frozen=True)
class Installation:
    """Databases, NATS and keys. `origin` says where they were read, `folder` is set if that was a
    data folder. `oldest_hash_key` is that of version 0.1.

    What is not known is absent; the methods that need it raise Misconfigured, which names it.
    """

    origin: str
    folder: Path | None
    database_urls: dict[str, str]
    migration_urls: dict[str, str]
    nats_admin_url: str | None
    redis_url: str | None
    hash_keys: dict[str, str]
    encryption_keys: dict[str, str]
    oldest_hash_key: str | None = None
    console_url: str | None = None
    replica_urls: Mapping[str, str] = field(default_factory=dict)

    def database_url(self, service: str) -> str:
        url = self.database_urls.get(service)
        return self._required(url, f"TENANTRY_{service.upper()}_DATABASE_URL")

    def migration_url(self, service: str) -> str:
        url = self.migration_urls.get(service)
        return self._required(url, f"TENANTRY_{service.upper()}_MIGRATION_URL")

    def nats_url(self) -> str:
        return self._required(self.nats_admin_url, "TENANTRY_NATS_ADMIN_URL")

    def keys(self, service: str) -> str:
        """The encryption keys of a service."""
        keys = self.encryption_keys.get(service)
        return self._required(keys, f"TENANTRY_{service.upper()}_ENCRYPTION_KEYS")

    def _required(self, value: str | None, variable: str) -> str:
        if value:
            return value
        raise Misconfigured(
            f"{variable} is not set (looked for in {self.origin})",
            f"Set {variable}, or name the data folder of a running `tenantry dev` with --data.",
            variable=variable,
        )


def find_installation(data: Path | None) -> Installation:
    """Raises Misconfigured when --data names a folder on which nothing runs."""
    folder = find_folder(data)
    return _from_environment() if folder is None else _from_folder(folder)


def find_folder(data: Path | None) -> Path | None:
    """The data folder that a command works on; None when the environment names the servers."""
    if data is not None:
        return data
    if not any(map(os.environ.get, _SERVER_VARIABLES)) and DEFAULT_FOLDER.is_dir():
        return DEFAULT_FOLDER
    return None


def api_url(url: str | None, data: Path | None) -> str:
    """The URL of the API, without a slash at its end."""
    found = url or (None if data else os.environ.get("TENANTRY_URL"))
    if found is None:
        running = find_running(data or DEFAULT_FOLDER)
        if running is None and data is not None:
            raise _nothing_runs(data)
        found = running.url if running else DEFAULT_URL
    return check_url(found)


def check_url(url: str) -> str:
    """The URL without a slash at its end. Raises Misconfigured for what is none of an API."""
    if not _is_http_url(url):
        raise Misconfigured(f"{url} is no URL of an API", f"Give one such as {DEFAULT_URL}.")
    return url.rstrip("/")


def read_text(path: Path) -> str:
    """Raises Misconfigured for a file that is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Misconfigured(f"{path} is not UTF-8", "Name a text file in UTF-8.") from None


def _is_http_url(text: str) -> bool:
    """Whether sockets can take its host and port: a host is looked up as IDNA."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(host) and port != 0


def credential(kind: str, url: str, data: Path | None) -> str:
    """The `operator_key` or the `api_key`.

    Without --data, a key of the default folder is sent to no other machine.
    """
    variable = KEY_VARIABLES[kind]
    from_environment = os.environ.get(variable)
    if from_environment and data is None:
        return from_environment
    is_local = urlsplit(url).hostname in _LOOPBACK
    folder = data or (DEFAULT_FOLDER if is_local and DEFAULT_FOLDER.is_dir() else None)
    if folder is not None:
        secrets = _read_secrets(folder)
        key = secrets["operator_key"] if kind == "operator_key" else secrets["demo"]["api_key"]
        if key:
            return str(key)
    if from_environment:
        return from_environment
    raise Misconfigured(
        f"{variable} is not set",
        f"Run `tenantry login`, set {variable}, or name the data folder of `tenantry dev` with "
        "--data.",
        variable=variable,
    )


def _from_folder(folder: Path) -> Installation:
    secrets = _read_secrets(folder)
    running = find_running(folder)
    if running is None:
        raise _nothing_runs(folder)
    return Installation(
        origin=str(folder),
        folder=folder,
        database_urls=running.databases,
        migration_urls=running.migrations,
        nats_admin_url=running.nats_admin_url,
        redis_url=running.redis_url,
        hash_keys=secrets["hash_keys"],
        encryption_keys=secrets["encryption_keys"],
        oldest_hash_key=secrets.get("hash_key"),
        console_url=running.console_url,
    )


def _from_environment() -> Installation:
    variables = os.environ
    return Installation(
        origin="the environment",
        folder=None,
        database_urls=_with_tls("database", _of_services("DATABASE_URL")),
        migration_urls=_with_tls("database", _of_services("MIGRATION_URL")),
        nats_admin_url=_one_with_tls("nats", "TENANTRY_NATS_ADMIN_URL"),
        redis_url=_one_with_tls("redis", "TENANTRY_REDIS_URL"),
        hash_keys=_of_services("HASH_KEYS"),
        encryption_keys=_of_services("ENCRYPTION_KEYS"),
        oldest_hash_key=variables.get("TENANTRY_HASH_KEY"),
        console_url=variables.get("TENANTRY_CONSOLE_URL"),
        replica_urls=_with_tls("database", _of_services("REPLICA_URL")),
    )


def _of_services(suffix: str) -> dict[str, str]:
    variables = {service: f"TENANTRY_{service.upper()}_{suffix}" for service in SERVICE_NAMES}
    return {name: os.environ[each] for name, each in variables.items() if os.environ.get(each)}


def _with_tls(server: str, urls: Mapping[str, str]) -> dict[str, str]:
    """The URLs with the files of certificates that the environment names for this server."""
    names = (f"{server}_{kind}_file" for kind in ("ca", "cert", "key"))
    files = {each: os.environ.get(f"TENANTRY_{each.upper()}") or None for each in names}
    try:
        return {name: with_files(url, server, files) for name, url in urls.items()}
    except ValueError as error:
        raise Misconfigured(
            f"{server} {error}", "Name files in PEM that this user can read, a key with its own."
        ) from None


def _one_with_tls(server: str, variable: str) -> str | None:
    url = os.environ.get(variable)
    return _with_tls(server, {variable: url})[variable] if url else None


def _read_secrets(folder: Path) -> dict[str, Any]:
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
