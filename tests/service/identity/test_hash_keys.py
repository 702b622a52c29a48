"""Refresh tokens and invitations outlive the hash key that was the first when they were made."""

import base64

from identity.last_active import LastActive
from identity.projects_client import CallService, ProjectsClient
from identity.rpc import handlers
from pydantic import SecretStr
from service.identity.client import IdentityClient
from support.owner import HASH_KEYS, Owner

SECOND = "h2:" + base64.b64encode(b"the-second-hash-key-of-32-bytes!").decode()


def client_with(
    client: IdentityClient, call_projects: CallService, hash_keys: str
) -> IdentityClient:
    """The same tenant at a process with other hash keys."""
    owner = client.identity
    settings = owner.settings.model_copy(update={"hash_keys": SecretStr(hash_keys)})
    table = handlers(ProjectsClient(call_projects), LastActive())
    identity = Owner(table, owner.pool, settings)
    return IdentityClient(identity, client.projects, client.tenant, client.project)


async def test_a_session_moves_to_the_first_hash_key_when_it_is_refreshed(
    client: IdentityClient, call_projects: CallService
) -> None:
    both = client_with(client, call_projects, f"{SECOND},{HASH_KEYS}")
    second = client_with(client, call_projects, SECOND)
    created = await client.create_session(await client.create_user())
    token = created["refresh_token"]
    assert (await second.refresh_session(token)).status == 401, "its hash key is not there"
    refreshed = await both.refresh_session(token)
    assert refreshed.status == 200, refreshed.body
    newer = refreshed.body["refresh_token"]
    assert (await second.refresh_session(newer)).status == 200
    # A reuse is noticed whatever key has hashed the token.
    assert (await both.refresh_session(token)).status == 401
    assert [reason for _, reason in await client.revoked_sessions()] == ["refresh_token_reused"]
