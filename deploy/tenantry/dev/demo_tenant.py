"""The demo tenant, created once, and a key of it that works: a lost or revoked key is replaced.

`tenantry dev` runs this module as a program of its own, beside the start of the services: in the
supervisor, the client would double the memory that it needs as long as it runs.
"""

import asyncio
import sys
import time
from pathlib import Path

from tenantry_client import Client, api
from tenantry_client.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UnauthenticatedError,
)
from tenantry_client.models import CreateRootKey, CreateTenant, TenantsQuery

from tenantry.api_client import connect, find_by_slug
from tenantry.data_folder.secrets import DemoTenant, load_or_create
from tenantry.dev.health_probe import is_ready
from tenantry.errors import CommandFailed

SLUG = "demo"
POLL_SECONDS = 0.03


def get_or_create_demo_tenant(operator: Client, url: str, known: DemoTenant) -> DemoTenant:
    """`known` if its key works, else one with a new key."""
    if known.api_key is not None and _is_accepted(url, known.api_key):
        return known
    try:
        created = operator(api.create_tenant(CreateTenant(name="Demo", slug=SLUG)))
    except ConflictError as conflict:
        if conflict.code != "slug_taken":
            raise
    else:
        return DemoTenant(created.tenant.id, created.api_key.secret)
    tenant = find_by_slug(operator, api.list_tenants(TenantsQuery(q=SLUG)), SLUG, "ten_")
    key = operator(api.create_root_key(tenant.id, CreateRootKey(name="Demo")))
    return DemoTenant(tenant.id, key.secret)


def _is_accepted(url: str, key: str) -> bool:
    with connect(url, key) as tenant:
        try:
            tenant(api.who_am_i())
        except UnauthenticatedError:
            return False
        except ForbiddenError:
            pass  # the key is good, but the tenant is suspended
    return True


def main(url: str, secrets_file: Path, ports: list[int]) -> None:
    """`ports` are those of the processes that must be ready first."""
    secrets = load_or_create(secrets_file)
    for port in ports:
        while not asyncio.run(is_ready(port)):
            time.sleep(POLL_SECONDS)
    with connect(url, secrets.operator_key) as operator:
        try:
            secrets.demo = get_or_create_demo_tenant(operator, url, secrets.demo)
        except (ConflictError, NotFoundError):
            secrets.demo = DemoTenant()  # it is being deleted
    secrets.save()


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), [int(port) for port in sys.argv[3:]])
    except CommandFailed as failed:
        sys.exit(f"{failed}\n{failed.fix}")
