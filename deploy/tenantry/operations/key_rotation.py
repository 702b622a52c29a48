"""Encrypts secrets again with the first of TENANTRY_ENCRYPTION_KEYS, so that other keys can go."""

from importlib import import_module

from chassis.encryption import Keyring
from chassis.settings import ServiceSettings
from pydantic import ValidationError

from tenantry.errors import CommandFailed, Misconfigured
from tenantry.installation import Installation
from tenantry.operations.databases import connect

KEY_ROTATIONS = {
    "projects": "projects.signing.key_rotation",
    "webhooks": "webhooks.endpoints.key_rotation",
}
"""The services that store encrypted secrets; each has `reencrypt_secrets` in that module."""


async def rotate_keys(installation: Installation) -> dict[str, int]:
    """How many secrets of each service were encrypted again: none if all use the first key."""
    hash_key, encryption_keys = installation.keys()
    rotated = {}
    for service in KEY_ROTATIONS:
        url = installation.database_url(service)
        try:
            settings = ServiceSettings.model_validate(
                {
                    "database_url": url,
                    "hash_key": hash_key,
                    "encryption_keys": encryption_keys,
                }
            )
        except ValidationError as error:
            fault = error.errors(include_input=False, include_url=False)[0]
            name = f"TENANTRY_{str(fault['loc'][0]).upper()}"
            raise Misconfigured(f"{name}: {fault['msg']}", f"Correct {name}.") from None
        rotated[service] = await _rotate_keys(service, url, Keyring(settings))
    return rotated


async def _rotate_keys(service: str, url: str, keys: Keyring) -> int:
    reencrypt_secrets = import_module(KEY_ROTATIONS[service]).reencrypt_secrets
    total = 0
    async with connect(service, url) as conn:
        try:
            while count := await reencrypt_secrets(conn, keys):
                total += count
        except KeyError as missing:
            raise CommandFailed(
                f"{service} has secrets encrypted with the key {missing}, which is not given",
                f"Add {missing} to the end of TENANTRY_ENCRYPTION_KEYS and run it again.",
                code="key_missing",
            ) from None
    return total
