"""What an edge does with a credential by itself, on a real NATS with nobody or projects behind."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from chassis.health import Health
from chassis.nats_client import connect
from chassis.rpc.server import Server
from chassis.unit_of_work import Handler, UnitOfWork
from contracts import api_keys as key_calls
from contracts import projects as project_calls
from contracts import tenants as calls
from contracts.calls import Call
from contracts.context import Context
from contracts.ids import new_id
from contracts.problems import Problem
from contracts.secrets import new_secret
from edge.auth import api_key_usage
from edge.auth.credentials import Credentials
from edge.auth.principals import BearerCredential
from nats.aio.client import Client
from projects.rpc import HANDLERS
from projects.tokens import token_keys
from support.owner import TRACE, Owner, owner_of
from support.waiting import until
from tenantry.servers import Servers

OPERATOR_KEY = "the-operator-key-of-these-tests-is-long"


def context() -> Context:
    now = datetime.now(UTC).timestamp()
    return Context(request_id=new_id("req"), traceparent=TRACE, deadline=now + 2)


@asynccontextmanager
async def nats_as(user: str, servers: Servers) -> AsyncIterator[Client]:
    nats = await connect(servers.nats_url(user))
    try:
        yield nats
    finally:
        await nats.close()


@pytest.fixture
async def edge(servers: Servers) -> AsyncIterator[Credentials]:
    credentials = Credentials(OPERATOR_KEY)
    async with nats_as("edge", servers) as nats:
        credentials.connect(nats)
        yield credentials


@pytest.fixture(scope="session")
async def projects(servers: Servers) -> AsyncIterator[Owner]:
    async with owner_of("projects", HANDLERS, servers) as owner:
        await token_keys.maintain(owner.pool, owner.keyring)
        yield owner


@asynccontextmanager
async def answering(
    owner: Owner, servers: Servers, handlers: Mapping[Call, Handler] = HANDLERS
) -> AsyncIterator[None]:
    """Projects answers its calls over NATS, as long as this lasts."""
    async with nats_as("projects", servers) as nats:
        server = Server(
            "projects", UnitOfWork(owner.pool, owner.keyring, lambda: None), owner.keyring
        )
        await server.start(nats, handlers, Health())
        # The first PING of nats-py overtakes the subscriptions that it flushes.
        await nats.flush()
        await nats.flush()
        try:
            yield
        finally:
            await server.stop()


async def authenticate(edge: Credentials, credential: str) -> None:
    await edge.authenticate(BearerCredential.from_header(f"Bearer {credential}"), None, context())


async def code_of(edge: Credentials, credential: str) -> str:
    with pytest.raises(Problem) as refused:
        await authenticate(edge, credential)
    return refused.value.code


async def test_a_key_with_a_bad_checksum_is_refused_without_a_look_up(edge: Credentials) -> None:
    key = new_secret("live")
    # Nobody answers: a look-up cannot but fail.
    assert await code_of(edge, key) == "service_unavailable"
    last = "0" if key[-1] != "0" else "1"
    for bad in (key[:-1] + last, key[:-1], key.lower(), key.replace("live", "test"), "tnt_live_"):
        assert await code_of(edge, bad) == "unauthenticated"


async def test_uses_are_flushed_in_batches_and_kept_until_they_are_heard(
    edge: Credentials, projects: Owner, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_key_usage, "BATCH_SIZE", 3)
    operator = {"actor_type": "operator", "actor_id": None}
    made = await projects.call(
        calls.CREATE_TENANT, None, {"name": f"Acme {new_id('ten')}"}, **operator
    )
    tenant = made.body["tenant"]["id"]
    project = await projects.call(project_calls.CREATE_PROJECT, tenant, {"name": "Shop"})
    path = {"id": project.body["id"]}
    keys = []
    for _ in range(8):
        body = {"name": "k", "scopes": ["users:read"]}
        keys.append((await projects.call(key_calls.CREATE_API_KEY, tenant, body, path=path)).body)

    async def last_uses() -> list[str | None]:
        listed = await projects.call(key_calls.LIST_API_KEYS, tenant, path=path)
        return [each["last_used_at"] for each in listed.body["api_keys"]]

    began = datetime.now(UTC)
    async with answering(projects, servers):
        for key in keys * 3:
            await authenticate(edge, key["secret"])
    assert await last_uses() == [None] * 8, "no request writes"
    await edge.usage.flush()
    assert await last_uses() == [None] * 8, "there was nobody to hear it"
    heard_by = datetime.now(UTC)
    async with answering(projects, servers):
        await edge.usage.flush()
        times = [datetime.fromisoformat(each or "") for each in await last_uses()]
        assert all(began <= each <= heard_by for each in times), "as of the use, not of the flush"
        await edge.usage.flush()


async def test_a_refusal_is_told_once_whoever_asks_how_often(
    edge: Credentials, projects: Owner, servers: Servers
) -> None:
    operator = {"actor_type": "operator", "actor_id": None}
    made = await projects.call(
        calls.CREATE_TENANT, None, {"name": f"Acme {new_id('ten')}"}, **operator
    )
    tenant, key = made.body["tenant"]["id"], made.body["api_key"]
    await projects.call(
        calls.UPDATE_TENANT, None, {"status": "suspended"}, path={"id": tenant}, **operator
    )
    async with answering(projects, servers):
        for _ in range(5):
            assert await code_of(edge, key["secret"]) == "tenant_suspended"

        async def told() -> list[str]:
            events = await projects.events(tenant)
            return [each["type"] for each in events if each["type"] == "api_key.refused"]

        assert await until(told) == ["api_key.refused"]
