"""Every secret of one installation, created at its first start and kept in secrets.json (0600)."""

import base64
import json
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from contracts.topology import SERVICE_NAMES

from tenantry.atomic_file import write_json

POSTGRES_ROLES = ("postgres", *SERVICE_NAMES, *(f"{service}_owner" for service in SERVICE_NAMES))
NATS_USERS = ("admin", "edge", "subscriber", *SERVICE_NAMES)


@dataclass
class DemoTenant:
    tenant_id: str | None = None
    api_key: str | None = None


@dataclass
class Secrets:
    path: Path
    operator_key: str
    hash_key: str
    encryption_keys: str
    postgres: dict[str, str]
    nats: dict[str, str]
    redis: str
    demo: DemoTenant = field(default_factory=DemoTenant)

    def save(self) -> None:
        content = asdict(self)
        del content["path"]
        write_json(self.path, content)


def load_or_create(path: Path) -> Secrets:
    if path.exists():
        content: dict[str, Any] = json.loads(path.read_text())
        demo = DemoTenant(content["demo"]["tenant_id"], content["demo"]["api_key"])
        found = Secrets(**{**content, "path": path, "demo": demo})
        # A user of NATS that is newer than the folder needs a password too.
        if missing := set(NATS_USERS) - set(found.nats):
            found.nats |= _passwords(missing)
            found.save()
        return found
    created = Secrets(
        path=path,
        operator_key=f"tnt_op_{secrets.token_urlsafe(32)}",
        hash_key=_key(),
        encryption_keys=f"k1:{_key()}",
        postgres=_passwords(POSTGRES_ROLES),
        nats=_passwords(NATS_USERS),
        redis=_password(),
    )
    created.save()
    return created


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _passwords(names: Iterable[str]) -> dict[str, str]:
    return {name: _password() for name in names}


def _password() -> str:
    # Letters and digits, a letter first: needs no quoting in a URL, in redis.conf or in nats.conf.
    return f"p{secrets.token_hex(20)}"
