"""Encrypts secrets again with the first of a service's encryption keys, so that others can go."""

from importlib import import_module

from chassis.encryption import Keyring
from chassis.settings import parse_encryption_keys

from tenantry.errors import CommandFailed, Misconfigured
from tenantry.installation import Installation
from tenantry.operations.databases import connect

KEY_ROTATIONS = {
    "projects": ("projects.signing.key_rotation", "projects.tokens.key_rotation"),
    "webhooks": ("webhooks.endpoints.key_rotation",),
}
"""The services that store encrypted secrets; each module has `reencrypt_secrets` of one table."""


async def rotate_keys(installation: Installation) -> dict[str, int]:
    """How many secrets of each service were encrypted again: none if all use the first key."""
    keyrings = {service: keyring_of(installation, service) for service in KEY_ROTATIONS}
    urls = {service: installation.database_url(service) for service in KEY_ROTATIONS}
    return {
        service: await _rotate_keys(service, urls[service], keyring)
        for service, keyring in keyrings.items()
    }


def keyring_of(installation: Installation, service: str) -> Keyring:
    """What decrypts the secrets of a service; it hashes nothing. Raises Misconfigured."""
    name = f"TENANTRY_{service.upper()}_ENCRYPTION_KEYS"
    try:
        return Keyring(parse_encryption_keys(installation.keys(service)))
    except ValueError as error:
        raise Misconfigured(f"{name}: {error}", f"Correct {name}.") from None


async def _rotate_keys(service: str, url: str, keys: Keyring) -> int:
    total = 0
    async with connect(service, url) as conn:
        for module in KEY_ROTATIONS[service]:
            reencrypt_secrets = import_module(module).reencrypt_secrets
            try:
                while count := await reencrypt_secrets(conn, keys):
                    total += count
            except KeyError as missing:
                raise CommandFailed(
                    f"{service} has secrets encrypted with the key {missing}, which is not given",
                    f"Add {missing} to the end of TENANTRY_{service.upper()}_ENCRYPTION_KEYS "
                    "and run it again.",
                    code="key_missing",
                ) from None
    return total
