"""Sealing anew, under the first of TENANTRY_ENCRYPTION_KEYS, what another key has sealed."""

from importlib import import_module

from chassis.encryption import Keyring
from chassis.settings import ServiceSettings
from pydantic import ValidationError

from tenantry.databases import connected
from tenantry.failing import Failed, Misconfigured
from tenantry.installation import Backing

KEY_ROTATIONS = {
    "projects": "projects.signing.key_rotation",
    "webhooks": "webhooks.endpoints.key_rotation",
}
"""The services that store encrypted secrets for ever; each has `reencrypt_secrets` there."""


async def rewrap(backing: Backing) -> dict[str, int]:
    """How many secrets each service has sealed anew; none when all are under the first key."""
    hash_key, encryption_keys = backing.keys()
    done = {}
    for service in KEY_ROTATIONS:
        url = backing.database(service)
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
        done[service] = await _rewrap(service, url, Keyring(settings))
    return done


async def _rewrap(service: str, url: str, keys: Keyring) -> int:
    work = import_module(KEY_ROTATIONS[service]).reencrypt_secrets
    total = 0
    async with connected(service, url) as conn:
        try:
            while count := await work(conn, keys):
                total += count
        except KeyError as missing:
            raise Failed(
                f"{service} has secrets sealed with the key {missing}, which is not given",
                f"Add {missing} to the end of TENANTRY_ENCRYPTION_KEYS and run it again.",
                code="key_missing",
            ) from None
    return total
