"""Every secret of one installation, created at its first start and kept in secrets.json (0600)."""

import base64
import json
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from contracts.topology import ENCRYPTING_SERVICES, SERVICE_NAMES

from tenantry.atomic_file import write_json

POSTGRES_ROLES = ("postgres", *SERVICE_NAMES, *(f"{service}_owner" for service in SERVICE_NAMES))
_NEWER = {"console_keys", "proxy_key", "checkpoint_seeds"}
"""What the file of an older version lacks."""
NATS_USERS = ("admin", "edge", "subscriber", *SERVICE_NAMES)


@dataclass
class DemoTenant:
    tenant_id: str | None = None
    api_key: str | None = None


@dataclass
class Secrets:
    """Keys and passwords by service, role or user.

    `hash_key` is that of a folder of version 0.1, which had one for all services.
    """

    path: Path
    operator_key: str
    hash_keys: dict[str, str]
    encryption_keys: dict[str, str]
    postgres: dict[str, str]
    nats: dict[str, str]
    redis: str
    console_keys: str
    proxy_key: str
    checkpoint_seeds: str
    demo: DemoTenant = field(default_factory=DemoTenant)
    hash_key: str | None = None

    def save(self) -> None:
        content = asdict(self)
        del content["path"]
        write_json(self.path, content)


def load_or_create(path: Path) -> Secrets:
    if path.exists():
        content: dict[str, Any] = json.loads(path.read_text())
        is_older = _complete(content) or not content.keys() >= _NEWER
        content = {
            "console_keys": _new_console_keys(),
            "proxy_key": _password(),
            "checkpoint_seeds": _new_checkpoint_seeds(),
            **content,
        }
        demo = DemoTenant(content["demo"]["tenant_id"], content["demo"]["api_key"])
        found = Secrets(**{**content, "path": path, "demo": demo})
        # A user of NATS that is newer than the folder needs a password too.
        if missing := set(NATS_USERS) - set(found.nats):
            found.nats |= _passwords(missing)
        if missing or is_older:
            found.save()
        return found
    created = Secrets(
        path=path,
        operator_key=f"tnt_op_{secrets.token_urlsafe(32)}",
        hash_keys=_new_hash_keys(),
        encryption_keys=_new_encryption_keys(),
        postgres=_passwords(POSTGRES_ROLES),
        nats=_passwords(NATS_USERS),
        redis=_password(),
        console_keys=_new_console_keys(),
        proxy_key=_password(),
        checkpoint_seeds=_new_checkpoint_seeds(),
    )
    created.save()
    return created


def _complete(content: dict[str, Any]) -> bool:
    """Adds the keys of each service to the content of a file of version 0.1, if it is one."""
    if "hash_keys" in content:
        return False
    content["hash_keys"] = _new_hash_keys()
    oldest = content["encryption_keys"]
    content["encryption_keys"] = {
        service: f"{new},{oldest}" for service, new in _new_encryption_keys().items()
    }
    return True


def _new_hash_keys() -> dict[str, str]:
    return {service: f"{service}-1:{_key()}" for service in SERVICE_NAMES}


def _new_encryption_keys() -> dict[str, str]:
    return {service: f"{service}-1:{_key()}" for service in ENCRYPTING_SERVICES}


def _new_console_keys() -> str:
    return f"console-1:{_key()}"


def _new_checkpoint_seeds() -> str:
    return f"checkpoints-1:{_key()}"


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _passwords(names: Iterable[str]) -> dict[str, str]:
    return {name: _password() for name in names}


def _password() -> str:
    # Letters and digits, a letter first: needs no quoting in a URL, in redis.conf or in nats.conf.
    return f"p{secrets.token_hex(20)}"
