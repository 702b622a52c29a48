"""The demo tenant of an installation in containers: made once, its key kept in a file.

A key that is lost or revoked is replaced by a new root key of the same tenant.
"""

import os
from pathlib import Path

from tenantry.api import Api
from tenantry.failing import Refused

SLUG = "demo"
_TENANTS = "/v1/admin/tenants"


def demo_key(operator: Api, url: str, kept: Path) -> str:
    """A key of the tenant Demo that the product knows. Raises Failed."""
    if kept.exists() and _is_known(url, key := kept.read_text().strip()):
        return key
    key = _new_key(operator)
    draft = kept.with_name(kept.name + ".tmp")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key + "\n")
    draft.replace(kept)
    return key


def _is_known(url: str, key: str) -> bool:
    try:
        Api(url, key).get("/v1/admin/tenant")
    except Refused as refused:
        if refused.status != 401:
            raise
        return False
    return True


def _new_key(operator: Api) -> str:
    try:
        made = operator("POST", _TENANTS, {"name": "Demo", "slug": SLUG}).body["api_key"]
    except Refused as refused:
        if refused.code != "slug_taken":
            raise
        tenant = operator.find(_TENANTS, "tenants", "ten_", SLUG)["id"]
        made = operator("POST", f"{_TENANTS}/{tenant}/root-keys", {"name": "Demo"}).body
    return str(made["secret"])
