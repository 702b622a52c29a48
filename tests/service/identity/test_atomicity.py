"""Each write runs as its handler declares: as one statement, or as one transaction."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from contracts import invitations as invitation_calls
from contracts import members as member_calls
from contracts import organizations as organization_calls
from contracts import sessions as session_calls
from contracts import users as user_calls
from contracts.calls import Call
from identity.last_active import LastActive
from identity.projects_client import CallService, ProjectsClient
from identity.rpc import handlers
from service.identity.client import IdentityClient
from service.statement_log import StatementLog, logged


def _kinds() -> dict[Call, str]:
    async def unused(*_: Any) -> Any: ...

    table = handlers(ProjectsClient(unused), LastActive())
    return {call: handler.kind for call, handler in table.items()}


KINDS = _kinds()
WRITES = [call for call, kind in KINDS.items() if kind in ("write", "single")]
every_write = pytest.mark.parametrize("call", WRITES, ids=lambda call: call.name)


@pytest.fixture
async def log(client: IdentityClient, call_projects: CallService) -> AsyncIterator[StatementLog]:
    """The statements of the client's calls."""
    table = handlers(ProjectsClient(call_projects), LastActive())
    async with logged(client.identity, table) as (owner, log):
        client.identity = owner
        yield log


async def _requests(client: IdentityClient) -> dict[Call, tuple[Any, ...]]:
    """A valid request for each call that writes: the body, and the identifiers of the path."""
    user, member, leaving, other = [
        await client.create_user(f"{name}@example.com") for name in ("ada", "bob", "cy", "di")
    ]
    organization = await client.create_organization(owner_id=user)
    await client.add_member(organization, member)
    await client.add_member(organization, leaving)
    accepted, resent, revoked = [
        await client.create_invitation(organization, email=f"{name}@example.com")
        for name in ("e", "f", "g")
    ]
    session, other_session = [await client.create_session(user) for _ in range(2)]
    return {
        user_calls.CREATE_USER: ({"email": "new@example.com"},),
        user_calls.UPDATE_USER: ({"status": "suspended"}, member),
        user_calls.DELETE_USER: (None, leaving),
        user_calls.IMPORT_USERS: (
            {"first": 1, "digest": "d", "lines": ['{"email": "h@example.com"}']},
        ),
        session_calls.CREATE_SESSION: ({"project_id": client.project}, user),
        session_calls.REFRESH_SESSION: ({"refresh_token": session["refresh_token"]},),
        session_calls.REVOKE_SESSIONS: (None, user),
        session_calls.REVOKE_SESSION: (None, user, other_session["session"]["id"]),
        organization_calls.CREATE_ORGANIZATION: ({"name": "New"},),
        organization_calls.UPDATE_ORGANIZATION: ({"name": "New"}, organization),
        organization_calls.DELETE_ORGANIZATION: (None, organization),
        member_calls.ADD_MEMBER: ({"user_id": other}, organization),
        member_calls.UPDATE_MEMBER: ({"role": "admin"}, organization, member),
        member_calls.REMOVE_MEMBER: (None, organization, member),
        invitation_calls.CREATE_INVITATION: ({"email": "i@example.com"}, organization),
        invitation_calls.REVOKE_INVITATION: (None, organization, revoked["id"]),
        invitation_calls.RESEND_INVITATION: (None, organization, resent["id"]),
        invitation_calls.ACCEPT_INVITATION: ({"token": accepted["token"]},),
    }


@every_write
async def test_a_write_is_one_statement_or_one_transaction(
    client: IdentityClient, log: StatementLog, call: Call
) -> None:
    requests = await _requests(client)
    log.clear()
    reply = await client.call(call, *requests[call])
    assert reply.status == call.status, reply.body
    await log.complete()
    is_single = KINDS[call] == "single"
    assert log.is_single_statement() if is_single else log.is_transaction(), log


@every_write
async def test_with_an_idempotency_key_a_write_is_one_transaction(
    client: IdentityClient, log: StatementLog, call: Call
) -> None:
    requests = await _requests(client)
    log.clear()
    reply = await client.call(call, *requests[call], idempotency_key="once")
    assert reply.status == call.status, reply.body
    await log.complete()
    assert log.is_transaction(), log


async def test_an_organization_with_an_owner_is_one_transaction(
    client: IdentityClient, log: StatementLog
) -> None:
    body = {"name": "Acme", "owner_id": await client.create_user()}
    log.clear()
    await client.call(organization_calls.CREATE_ORGANIZATION, body)
    await log.complete()
    assert log.is_transaction(), log
