"""The running product signs its trails, and tells those who ask for it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from audit import note
from audit.note import Signer, VerifierKey
from standardwebhooks import Webhook
from support.api import Api, new_tenant
from support.stack import Stack, running_stack, tenantry
from support.waiting import until
from support.webhook_receiver import webhook_receiver
from tenantry_client import Client, api
from tenantry_client.models import ConsistencyQuery

OTHER_KEY = str(Signer.derive(bytes(range(32)), "log.test/audit/ten_other", "ten_other").key)


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


async def test_an_auditor_checks_by_commands(
    signing: Stack, http: ClientSession, tmp_path: Path
) -> None:
    tenant = await new_tenant(http, signing.url, signing.ready["operator_key"])
    access = {"TENANTRY_URL": signing.url, "TENANTRY_API_KEY": tenant.key or ""}

    async def signed() -> str:
        return (await tenantry("audit", "checkpoint", folder=tmp_path, **access)).out

    (tmp_path / "checkpoint").write_text(await until(signed))
    keys = await tenantry("audit", "checkpoint-key", folder=tmp_path, **access)
    (tmp_path / "key").write_text(keys.out)
    exported = await tenantry("audit", "export", "-o", "trail", folder=tmp_path, **access)
    assert exported.code == 0, exported.err
    verify = ("audit", "verify", "--file=trail", "--checkpoint=checkpoint", "--key=key", "--json")
    ran = await tenantry(*verify, folder=tmp_path)
    assert ran.code == 0, ran.err
    assert ran.json["trails"][0]["proven"] == note.parse((tmp_path / "checkpoint").read_text()).size
    lines = (tmp_path / "trail").read_bytes().splitlines(keepends=True)
    (tmp_path / "trail").write_bytes(b"".join(lines[:-2] + lines[-1:]))
    ran = await tenantry(*verify, folder=tmp_path)
    (trail,) = ran.json["trails"]
    assert (ran.code, trail["fault"], trail["first_broken"]["sequence"]) == (1, "missing", 2)
    shown = await tenantry(*verify[:-1], folder=tmp_path)
    assert "Event 2 is missing" in " ".join(shown.out.split())
    ran = await tenantry(*verify[:-2], f"--key={OTHER_KEY}", folder=tmp_path)
    assert (ran.code, "no signature" in ran.err) == (2, True)


async def no_more_than_settled(tenant: Api) -> None:
    """A checkpoint makes an event, which makes no other checkpoint: the trail comes to rest."""
    lengths: list[int] = []

    async def at_rest() -> bool:
        proof = json.loads((await tenant("GET", "/v1/admin/audit/proof")).raw)
        lengths.append(proof["length"])
        return len(lengths) > 30 and len(set(lengths[-30:])) == 1

    await until(at_rest, 30, every=0.1)
