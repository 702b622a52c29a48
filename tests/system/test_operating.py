"""What the commands on databases and broker promise, beside a running product and a bare one."""

import asyncio
import json
import signal
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiohttp import ClientSession
from chassis import streams
from contracts.ids import new_id
from contracts.topology import SERVICE_NAMES
from nats.js.api import ConsumerConfig
from support.api import Api, new_tenant
from support.stack import Ran, Stack, running_stack, tenantry
from support.waiting import until
from tenantry.servers import Servers, backing_servers

OTHER_KEY = "b3RoZXIta2V5LW9mLXRoaXJ0eS10d28tYnl0ZXMhISE="


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("operating")
    async with running_stack(folder, "--no-demo", TENANTRY_RATE_LIMIT="100000/second") as running:
        assert stat.S_IMODE((folder / "data/running.json").stat().st_mode) == 0o600
        yield running
    assert not (folder / "data/running.json").exists()


@pytest.fixture
async def caller(stack: Stack) -> AsyncIterator[Api]:
    async with ClientSession() as http:
        yield await new_tenant(http, stack.url, stack.ready["operator_key"])


@pytest.fixture(scope="module")
async def bare(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """Servers without a schema, without a stream and without a product."""
    async with backing_servers(tmp_path_factory.mktemp("bare"), with_redis=False) as servers:
        yield servers


def folder(stack: Stack) -> Path:
    return stack.ready_file.parent / "data"


def data(stack: Stack) -> str:
    return f"--data={folder(stack)}"


def environment(servers: Servers) -> dict[str, str]:
    named = {"TENANTRY_NATS_ADMIN_URL": servers.nats_url("admin")}
    for service in SERVICE_NAMES:
        named[f"TENANTRY_{service.upper()}_DATABASE_URL"] = servers.database_url(service)
        named[f"TENANTRY_{service.upper()}_MIGRATION_URL"] = servers.migration_url(service)
    return named


def unwell(doctor: Ran, *states: str) -> dict[str, str]:
    """What the doctor found in those states, each with what to do."""
    return {each["of"]: each["fix"] for each in doctor.json["checks"] if each["status"] in states}


async def heard(caller: Api, path: str) -> Any:
    """The audit trail once it has what the path asks for."""

    async def found() -> Any:
        answer = await caller("GET", path)
        return answer.body["events"] if answer.status == 200 else None

    return await until(found)


async def test_a_stored_trail_is_proven_and_a_change_is_named(stack: Stack, caller: Api) -> None:
    await caller("POST", "/v1/admin/users", {"email": "ada@example.com"})
    (event,) = await heard(caller, "/v1/admin/audit?action=user.created")
    good = await tenantry("audit", "verify", "--tenant", caller.tenant, "--json", data(stack))
    assert (good.code, good.json["valid"]) == (0, True)
    owner = json.loads((folder(stack) / "running.json").read_text())["migrations"]["audit"]
    connection = await asyncpg.connect(owner)
    try:
        await connection.execute(
            "UPDATE events SET actor_id = 'key_forged' WHERE tenant_id = $1 AND id = $2",
            caller.tenant,
            event["id"],
        )
    finally:
        await connection.close()
    broken = await tenantry("audit", "verify", "--json", data(stack))
    assert broken.code == 1
    (trail,) = [each for each in broken.json["trails"] if not each["valid"]]
    assert trail["tenant_id"] == caller.tenant
    assert trail["first_broken"]["id"] == event["id"]
    absent = await tenantry("audit", "verify", "--tenant", "ten_absent", data(stack))
    assert absent.code == 1


async def test_events_that_the_stream_lost_are_heard_after_republishing(
    stack: Stack, caller: Api
) -> None:
    async with streams.connected(stack.ready["nats"]["admin_url"]) as client:
        js = client.jetstream()

        async def asks_no_more() -> bool:
            return (await js.consumer_info("EVENTS", "audit")).num_waiting == 0

        stack.hang("audit", signal.SIGSTOP)
        try:
            await until(asks_no_more)
            await caller("POST", "/v1/admin/users", {"email": "lost@example.com"})
            await until(lambda: all_published(stack))
            await js.delete_stream("EVENTS")
            assert (await tenantry("bootstrap", data(stack))).code == 0
        finally:
            stack.hang("audit", signal.SIGCONT)
    assert (await caller("GET", "/v1/admin/audit?action=user.created")).body["events"] == []
    ran = await tenantry("events", "republish", "--since", "10m", "--json", data(stack))
    assert ran.code == 0, ran.err
    assert ran.json["events"]["identity"] >= 1
    assert len(await heard(caller, "/v1/admin/audit?action=user.created")) == 1


async def all_published(stack: Stack) -> bool:
    connection = await asyncpg.connect(stack.ready["databases"]["identity"])
    try:
        unpublished = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
        return await connection.fetchval(unpublished) == 0
    finally:
        await connection.close()


async def test_dead_letters_are_listed_and_taken_in_again(stack: Stack, caller: Api) -> None:
    none = await tenantry("events", "dead-letters", "list", "--json", data(stack))
    assert (none.code, none.json) == (0, {"dead_letters": []})
    await caller("POST", "/v1/admin/users", {"email": "dead@example.com"})
    given_up = new_id("evt")
    await give_up(stack, caller.tenant, given_up)
    listed = await tenantry("events", "dead-letters", "list", data(stack))
    assert listed.code == 1
    assert given_up in listed.out
    warned = await tenantry("doctor", "--json", data(stack))
    assert "dead letters of audit" in unwell(warned, "warning")
    requeue = ("events", "dead-letters", "requeue", "--json", data(stack))
    assert (await tenantry(*requeue)).code == 2, "all of them only with a yes"
    assert (await tenantry(*requeue, "evt_absent")).code == 1
    done = await tenantry(*requeue, given_up)
    assert (done.code, done.json["requeued"]["audit"]) == (0, 1)

    async def taken_in() -> bool:
        return (await caller("GET", f"/v1/admin/audit/{given_up}")).status == 200

    await until(taken_in)
    gone = await tenantry("events", "dead-letters", "list", "--json", data(stack))
    assert (gone.code, gone.json) == (0, {"dead_letters": []})


async def give_up(stack: Stack, tenant: str, event_id: str) -> None:
    """Leaves a dead letter with audit: the tenant's newest event of identity under another id."""
    identity = await asyncpg.connect(stack.ready["databases"]["identity"])
    audit = await asyncpg.connect(stack.ready["databases"]["audit"])
    try:
        row = await identity.fetchrow(
            "SELECT event_id, subject, payload FROM outbox WHERE tenant_id = $1 "
            "ORDER BY position DESC LIMIT 1",
            tenant,
        )
        await audit.execute(
            "INSERT INTO dead_letters (event_id, subject, payload, error, tries) "
            "VALUES ($1, $2, $3, 'KeyError', 5)",
            event_id,
            row["subject"],
            row["payload"].replace(row["event_id"].encode(), event_id.encode()),
        )
    finally:
        await identity.close()
        await audit.close()


async def test_secrets_are_sealed_anew_under_the_first_key(stack: Stack, caller: Api) -> None:
    await caller("POST", "/v1/admin/projects", {"name": "Web"})
    secrets = json.loads((folder(stack) / "secrets.json").read_text())
    named: dict[str, str] = {}
    for service, url in stack.ready["databases"].items():
        named[f"TENANTRY_{service.upper()}_DATABASE_URL"] = url
    old = secrets["encryption_keys"]

    async def rewrap(form: str) -> Any:
        """`form` has {} for the keys of the service."""
        for service in ("projects", "webhooks"):
            keys = form.format(old[service])
            named[f"TENANTRY_{service.upper()}_ENCRYPTION_KEYS"] = keys
        return await tenantry("keys", "rewrap", "--json", **named)

    missing = await rewrap(f"k2:{OTHER_KEY}")
    assert (missing.code, missing.error["code"]) == (1, "key_missing")
    assert "projects-1" in missing.error["message"]
    done = await rewrap(f"k2:{OTHER_KEY},{{}}")
    assert done.json["rewrapped"]["projects"] >= 4, "signing keys and token keys"
    assert (await rewrap(f"k2:{OTHER_KEY}")).json["rewrapped"] == {"projects": 0, "webhooks": 0}
    back = await rewrap(f"{{}},k2:{OTHER_KEY}")
    assert back.json == done.json


async def test_working_secrets_are_counted_by_their_hash_key(stack: Stack, caller: Api) -> None:
    project = await caller("POST", "/v1/admin/projects", {"name": "Web"})
    keys = f"/v1/admin/projects/{project.body['id']}/api-keys"

    async def counted() -> int:
        ran = await tenantry("keys", "hashes", "--json", data(stack))
        found = {(each["service"], each["key"]): each["secrets"] for each in ran.json["hashes"]}
        assert set(found) <= {("projects", "projects-1"), ("identity", "identity-1")}
        return int(found["projects", "projects-1"])

    before = await counted()
    made = await caller("POST", keys, {"name": "k", "scopes": ["users:read"]})
    assert await counted() == before + 1
    await caller("POST", f"{keys}/{made.body['id']}/rotate", {"overlap": 60})
    assert await counted() == before + 2
    await caller("DELETE", f"{keys}/{made.body['id']}")
    assert await counted() == before


async def test_the_doctor_finds_a_running_product_well(stack: Stack) -> None:
    async def well() -> Ran | None:
        ran = await tenantry("doctor", "--json", data(stack))
        return None if unwell(ran, "warning", "failed") else ran

    ran = await until(well)
    assert (ran.code, ran.json["ok"]) == (0, True)
    kinds = {each["check"] for each in ran.json["checks"]}
    assert kinds == {
        *("configuration", "connection", "clock", "migrations", "streams", "events", "health"),
        *("credential", "disk", "rights"),
    }
    assert {each["status"] for each in ran.json["checks"]} == {"ok"}
    assert "Nothing failed" in (await tenantry("doctor", data(stack))).out


async def test_the_doctor_names_a_consumer_that_pushes(stack: Stack) -> None:
    """One that a subscriber made with an earlier release goes on sending wherever it likes."""
    async with streams.connected(stack.ready["nats"]["admin_url"]) as client:
        js = client.jetstream()
        target = "tenantry.rpc.audit.get_event"
        config = ConsumerConfig(name="pushing", deliver_subject=target, inactive_threshold=300)
        await js.add_consumer("EVENTS", config)
        ran = await tenantry("doctor", "--json", data(stack))
        await js.delete_consumer("EVENTS", "pushing")
    assert "nats consumer rm" in unwell(ran, "failed")["consumer pushing"]


async def test_the_doctor_says_what_a_bare_installation_lacks(bare: Servers) -> None:
    named = environment(bare)
    wrong = {
        "TENANTRY_AUDIT_HASH_KEYS": "weak",
        "TENANTRY_PROJECTS_ENCRYPTION_KEYS": "k1:weak",
    }
    first = await tenantry("doctor", "--json", **named, **wrong)
    assert first.code == 1
    fixes = unwell(first, "failed")
    assert "TENANTRY_AUDIT_HASH_KEYS" in fixes["hash keys of audit"]
    assert "base64" in fixes["encryption keys of projects"]
    assert all("tenantry migrate" in fixes[f"schema of {service}"] for service in SERVICE_NAMES)
    assert "tenantry bootstrap" in fixes["stream EVENTS"]
    assert "TENANTRY_URL" in fixes["API"]
    assert (await tenantry("migrate", "--check", **named)).code == 1
    assert (await tenantry("migrate", "--json", **named)).json["applied"]["audit"][0] == "0001"
    assert (await tenantry("migrate", "--check", **named)).code == 0
    assert (await tenantry("bootstrap", "--json", **named)).code == 0
    second = await tenantry("doctor", "--json", **named)
    assert list(unwell(second, "failed")) == ["API"]


async def test_the_watch_makes_again_what_vanishes(bare: Servers) -> None:
    url = bare.nats_url("admin")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tenantry", "bootstrap", "--watch"),
        env={"TENANTRY_NATS_ADMIN_URL": url},
        stdout=asyncio.subprocess.PIPE,
    )
    said = process.stdout
    assert said is not None

    async def made_again() -> list[str]:
        """What the watch says that it found missing, once all of it is there again."""
        told = json.loads(await asyncio.wait_for(said.readline(), 20))
        assert told["event"] == "streams_created_again"
        missing: list[str] = told["missing"]
        return missing

    try:
        watched = json.loads(await asyncio.wait_for(said.readline(), 20))
        assert watched["event"] == "streams_watched"
        async with streams.connected(url) as client:
            js = client.jetstream()
            await js.delete_consumer("EVENTS", "audit")
            assert await made_again() == ["consumer audit"]
            await js.delete_stream("EVENTS")
            assert "consumer projects" in await made_again()
            assert await streams.faults(js) == []
    finally:
        process.terminate()
    assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_running_stack_makes_its_consumers_again(stack: Stack, caller: Api) -> None:
    async with streams.connected(stack.ready["nats"]["admin_url"]) as client:
        js = client.jetstream()
        await js.delete_consumer("EVENTS", "audit")
        made = await caller("POST", "/v1/admin/users", {"email": "deaf@example.com"})
        assert made.status == 201

        async def whole() -> bool:
            return not await streams.faults(js)

        await until(whole)
    assert len(await heard(caller, "/v1/admin/audit?action=user.created")) == 1


async def test_a_folder_on_which_nothing_runs_is_named(bare: Servers) -> None:
    ran = await tenantry("events", "dead-letters", "list", f"--data={bare.data.root}")
    assert ran.code == 2
    assert "tenantry dev --data" in ran.err
