"""Each write runs as its handler declares: as one statement, or as one transaction."""

from datetime import UTC, datetime
from typing import Any

import pytest
from contracts import api_keys as key_calls
from contracts import projects as project_calls
from contracts import signing_keys as signing_calls
from contracts import tenants as calls
from contracts.calls import Call
from contracts.ids import new_id
from projects.rpc import HANDLERS
from service.projects.client import ProjectsClient
from service.statement_log import logged

WRITES = [call for call, handler in HANDLERS.items() if handler.kind in ("write", "single")]


async def requests(client: ProjectsClient, tenant: str) -> dict[Call, tuple[Any, ...]]:
    """A valid request for each call that writes: the body, and the identifiers of the path."""
    project = await client.create_project(tenant)
    key = (await client.create_api_key(tenant, project))["id"]
    (signing_key,) = (await client.signing_keys_by_status(tenant, project))["next"]
    root_key, _ = [
        (await client.call_as_operator(calls.CREATE_ROOT_KEY, {}, tenant)).body["id"]
        for _ in range(2)
    ]
    refusal = {"tenant_id": tenant, "key_id": key, "code": "expired"}
    use = {"tenant_id": tenant, "key_id": key, "used_at": datetime.now(UTC).isoformat()}
    return {
        calls.CREATE_TENANT: ({"name": new_id("ten")},),
        calls.UPDATE_TENANT: ({"name": "New"}, tenant),
        calls.DELETE_TENANT: (None, tenant),
        calls.CREATE_ROOT_KEY: ({}, tenant),
        calls.REVOKE_ROOT_KEY: (None, tenant, root_key),
        calls.RECORD_REFUSAL: (refusal,),
        calls.RECORD_USE: ({"uses": [use]},),
        project_calls.CREATE_PROJECT: ({"name": "Shop"},),
        project_calls.UPDATE_PROJECT: ({"name": "New"}, project),
        project_calls.DELETE_PROJECT: (None, project),
        key_calls.CREATE_API_KEY: ({"name": "Backend", "scopes": ["users:read"]}, project),
        key_calls.REVOKE_API_KEY: (None, project, key),
        key_calls.ROTATE_API_KEY: ({}, project, key),
        signing_calls.ROTATE_SIGNING_KEY: ({"force": True}, project),
        signing_calls.REVOKE_SIGNING_KEY: (None, project, signing_key),
    }


@pytest.mark.parametrize("key", [None, "once"], ids=["", "with_idempotency_key"])
@pytest.mark.parametrize("call", WRITES, ids=lambda call: call.name)
async def test_a_write_is_one_statement_or_one_transaction(
    client: ProjectsClient, tenant: str, call: Call, key: str | None
) -> None:
    request = (await requests(client, tenant))[call]
    is_single = HANDLERS[call].kind == "single" and key is None
    async with logged(client.owner, HANDLERS) as (owner, log):
        if is_single:  # asyncpg asks for types that it does not know yet, once a connection
            await ProjectsClient(owner).call(call, tenant, *request)
            await log.complete()
            log.clear()
        reply = await ProjectsClient(owner).call(call, tenant, *request, idempotency_key=key)
        await log.complete()
    assert reply.status == call.status, reply.body
    assert log.is_single_statement() if is_single else log.is_transaction(), log
