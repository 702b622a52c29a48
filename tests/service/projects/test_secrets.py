"""No secret, no hash and no private key is in an event or readable in the database."""

import base64

from contracts import api_keys as key_calls
from contracts import signing_keys as signing_calls
from contracts.secrets import digest
from projects.signing.key_material import secret_id
from service.projects.client import ProjectsClient

TABLES = ("api_keys", "signing_keys", "projects", "tenants", "outbox", "idempotency")


async def dump_tables(client: ProjectsClient, tenant: str) -> dict[str, str]:
    """Each table's rows of the tenant as text, payloads of events included."""
    found = {}
    for table in TABLES:
        column = "id" if table == "tenants" else "tenant_id"
        rows = await client.pool.fetch(f"SELECT * FROM {table} WHERE {column} = $1", tenant)
        found[table] = "\n".join(
            str(value.decode() if isinstance(value, bytes) else value)
            for row in rows
            for value in row.values()
        )
    return found


async def test_no_secret_is_recorded_or_stored(client: ProjectsClient) -> None:
    created = await client.create_tenant()
    tenant = created["tenant"]["id"]
    project = await client.create_project(tenant)
    key = await client.create_api_key(tenant, project)
    rotated = await client.call(
        key_calls.ROTATE_API_KEY,
        tenant,
        {"overlap": 60},
        project,
        key["id"],
        idempotency_key="rotate",
    )
    await client.call(key_calls.REVOKE_API_KEY, tenant, None, project, key["id"])
    secrets = [created["api_key"]["secret"], key["secret"], rotated.body["secret"]]
    rows = await client.pool.fetch("SELECT secret_hash FROM api_keys WHERE tenant_id = $1", tenant)
    hashes = [row["secret_hash"] for row in rows]
    stored = await dump_tables(client, tenant)
    assert [each for each in await client.event_types(tenant) if "api_key" in each] == [
        "api_key.created",
        "api_key.created",
        "api_key.rotated",
        "api_key.revoked",
    ]
    for table, text in stored.items():
        for secret in secrets:
            assert secret not in text, table
            assert secret.rsplit("_", 1)[-1][4:] not in text, table
            assert digest(secret) not in text, table
        if table != "api_keys":
            assert not any(each in text for each in hashes), table


async def test_no_private_key_is_recorded_or_stored_readable(
    client: ProjectsClient, tenant: str
) -> None:
    project = await client.create_project(tenant)
    rows = await client.pool.fetch(
        "SELECT id, private_key FROM signing_keys WHERE tenant_id = $1", tenant
    )
    encrypted = [row["private_key"] for row in rows]
    decrypt = client.owner.keyring.decrypt
    private = [decrypt(row["private_key"], secret_id(tenant, row["id"])) for row in rows]
    for body in ({}, {"algorithm": "RS256"}):
        await client.rotate_signing_key(tenant, project, force=True, **body)
    active = (await client.signing_keys_by_status(tenant, project))["active"][0]
    await client.call(signing_calls.REVOKE_SIGNING_KEY, tenant, None, project, active)
    stored = await dump_tables(client, tenant)
    assert [each for each in await client.event_types(tenant) if "signing_key" in each] == [
        "signing_key.rotated",
        "signing_key.rotated",
        "signing_key.revoked",
    ]
    seeds = [each[-32:] for each in private]
    for text in stored.values():
        for seed in seeds:
            for form in (base64.b64encode(seed), base64.urlsafe_b64encode(seed)):
                assert form.decode().rstrip("=") not in text
            assert seed.hex() not in text
        assert "PRIVATE KEY" not in text
        assert '"d":' not in text
    assert not any(each in stored["outbox"] for each in encrypted)
