"""The demo tenant, created once, and a key of it that works: a lost or revoked key is replaced.

`tenantry dev` runs this module as a program of its own, beside the start of the services: what it
imports and waits for is no business of the supervisor.
"""

import asyncio
import sys
import time
from pathlib import Path

from chassis.encryption import Keyring
from chassis.settings import parse_encryption_keys
from console.links import make_link_token
from tenantry_client import Client, api
from tenantry_client.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UnauthenticatedError,
)
from tenantry_client.models import CreateRootKey, CreateTenant, TenantsQuery

from tenantry.api_client import connect, find_by_slug
from tenantry.atomic_file import replace_file
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


def main(url: str, secrets_file: Path, link_file: Path | None, ports: list[int]) -> None:
    """`ports` are those of the processes that must be ready first; `link_file` gets the token of a
    one-time link to the console.
    """
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
    if link_file is not None and secrets.demo.api_key is not None:
        keyring = Keyring(parse_encryption_keys(secrets.console_keys))
        token = make_link_token(keyring, secrets.demo.api_key)
        with replace_file(link_file) as file:
            file.write(token.encode())


if __name__ == "__main__":
    try:
        url, secrets_file, link_file, *ports = sys.argv[1:]
        main(url, Path(secrets_file), Path(link_file) if link_file else None, list(map(int, ports)))
    except CommandFailed as failed:
        sys.exit(f"{failed}\n{failed.fix}")
