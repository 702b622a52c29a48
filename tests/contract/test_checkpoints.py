"""The running product signs its trails, and tells those who ask for it."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession
from audit import note
from audit.note import VerifierKey
from standardwebhooks import Webhook
from support.api import Api, new_tenant
from support.stack import Stack, running_stack
from support.waiting import until
from support.webhook_receiver import webhook_receiver
from tenantry_client import Client, api
from tenantry_client.models import ConsistencyQuery


@pytest.fixture(scope="module")
async def signing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("signing")
    settings = {"TENANTRY_AUDIT_CHECKPOINT_SECONDS": "0.5", "TENANTRY_AUDIT_ORIGIN": "log.test"}
    async with running_stack(folder, "--no-demo", **settings) as running:
        yield running


async def test_a_checkpoint_reaches_webhook_and_feed_and_verifies(
    signing: Stack, http: ClientSession
) -> None:
    tenant = await new_tenant(http, signing.url, signing.ready["operator_key"])
    async with webhook_receiver() as receiver:
        hook = await tenant(
            "POST", "/v1/admin/webhooks", {"url": receiver.url, "events": ["audit.checkpoint"]}
        )

        async def told() -> Any:
            return receiver.received

        sent = (await until(told))[0]
        event = Webhook(hook.body["secret"]).verify(sent.body, sent.headers)
    assert (event["type"], event["subject"]) == ("audit.checkpoint", tenant.tenant)
    keys = await tenant("GET", "/v1/admin/audit/checkpoint-key")
    assert keys.headers["Content-Type"].startswith("text/plain")
    known = [VerifierKey.parse(line) for line in keys.raw.decode().splitlines()]
    checkpoint = note.verify(event["data"]["checkpoint"], known)
    assert checkpoint.origin == f"log.test/audit/{tenant.tenant}"

    async def in_feed() -> Any:
        feed = (await tenant("GET", "/v1/admin/events")).body["events"]
        return [each for each in feed if each["action"] == "audit.checkpoint"]

    shown = await until(in_feed)
    assert event["data"]["checkpoint"] in [each["changes"]["checkpoint"]["to"] for each in shown]
    with Client(signing.url, tenant.key) as client:
        newest = note.verify(client(api.get_checkpoint()), known)
        assert client(api.get_checkpoint_keys()) == keys.raw.decode()
        query = ConsistencyQuery(**{"from": 1, "to": newest.size})
        assert client(api.get_consistency(query)).to == newest.size
    await no_more_than_settled(tenant)


async def no_more_than_settled(tenant: Api) -> None:
    """A checkpoint makes an event, which makes no other checkpoint: the trail comes to rest."""
    lengths: list[int] = []

    async def at_rest() -> bool:
        proof = json.loads((await tenant("GET", "/v1/admin/audit/proof")).raw)
        lengths.append(proof["length"])
        return len(lengths) > 30 and len(set(lengths[-30:])) == 1

    await until(at_rest, 30, every=0.1)
