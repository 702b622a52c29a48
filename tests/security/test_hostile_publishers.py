"""A service that was taken over says whatever its credentials allow, and is believed only about
what it owns: what is no event of ours is refused and counted, and stops nobody.
"""

import json
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession
from contracts.catalogue import EVENT_TYPES
from contracts.events import event_subject
from contracts.examples import example_event
from contracts.ids import new_id
from contracts.topology import SERVICE_NAMES, STREAM
from support.api import Api
from support.hostile_publisher import connected_as, envelope, publish_raw
from support.stack import Stack
from support.waiting import until

SUBJECT = "tenantry.events.webhooks.webhook.deleted"
HEAD = b"NATS/1.0\r\n\r\n"
EVENT = example_event(EVENT_TYPES["webhook.deleted"])
MEMBERS = sorted(EVENT)

BODIES = {
    "nothing": b"",
    "an empty list": b"[]",
    "a number": b"1",
    "null": b"null",
    "text": b'"x"',
    "an empty object": b"{}",
    "no JSON": b"{",
    "not a number": b'{"data": NaN}',
    "a huge number": b'{"data": 1' + b"0" * 100_000 + b"}",
    "an infinite number": b'{"data": 1e999}',
    "invalid UTF-8": b'{"data": "\xff\xfe"}',
    "half a surrogate": b'{"data": "\\ud800"}',
    "100,000 lists in each other": b"[" * 100_000 + b"]" * 100_000,
    "1,000 objects in each other": orjson.dumps(EVENT)[:-1]
    + b',"x":'
    + b'{"x":' * 1000
    + b"1"
    + b"}" * 1000
    + b"}",
    "four megabytes": orjson.dumps({**EVENT, "requestid": "x" * 4_000_000}),
    **{f"{name} of another type": orjson.dumps({**EVENT, name: 7}) for name in MEMBERS},
    **{f"{name} as a list": orjson.dumps({**EVENT, name: ["x"]}) for name in MEMBERS},
    **{
        f"{name} missing": orjson.dumps({key: EVENT[key] for key in MEMBERS if key != name})
        for name in MEMBERS
        if name != "actorid"
    },
    **{
        f"the time {time}": orjson.dumps({**EVENT, "time": time})
        for time in (
            "yesterday",
            "2026-02-30T10:00:00Z",
            "0001-01-01T00:00:00+23:59",
            "9999-12-31T23:59:59-23:59",
            "2999-01-01T00:00:00Z",
            "1066-10-14T09:00:00Z",
            "2026-01-15",
        )
    },
    "a resource of another kind": orjson.dumps({**EVENT, "subject": new_id("usr")}),
    "a tenant that is none": orjson.dumps({**EVENT, "tenantid": new_id("usr")}),
    "a NUL in an identifier": orjson.dumps({**EVENT, "requestid": "a\0b"}),
    "data of another form": orjson.dumps({**EVENT, "data": {"webhook": "deleted"}}),
    "an identifier of another kind in data": orjson.dumps(
        {**EVENT, "data": {"webhook": {**EVENT["data"]["webhook"], "id": new_id("usr")}}}
    ),
}
HEADERS = {
    "an address that is none": b"NATS/1.0\r\nTenantry-Ip-Address: 1.2.3.4 and more\r\n\r\n",
    "an agent that is no JSON": b"NATS/1.0\r\nTenantry-User-Agent: curl\r\n\r\n",
    "an agent that is a list": b"NATS/1.0\r\nTenantry-User-Agent: []\r\n\r\n",
    "an agent of a megabyte": b'NATS/1.0\r\nTenantry-User-Agent: "' + b"x" * 60_000 + b'"\r\n\r\n',
}
STATUSES = {
    "the status of no messages": b"NATS/1.0 404 No Messages\r\n\r\n",
    "the status of a time-out": b"NATS/1.0 408 Request Timeout\r\n\r\n",
    "the status of a heartbeat": b"NATS/1.0 100 Idle Heartbeat\r\n\r\n",
    "the status of a lost consumer": b"NATS/1.0 409 Consumer Deleted\r\n\r\n",
    "the status of nobody there": b"NATS/1.0 503\r\n\r\n",
    "a status of no digits": b"NATS/1.0 \xff\xff\xff \xff\r\n\r\n",
    "a header without an end": b"NATS/1.0\r\n",
    "a header of one line": b"NATS/1.0",
    "a header of four bytes": b"ABCD",
    "a header of rubbish": b"\0\xff\r\n\r\n\xff:\xff\r\n",
}


async def create_user(api: Api) -> dict[str, Any]:
    email = f"{new_id('usr')}@example.com"
    answer = await api("POST", "/v1/admin/users", {"email": email}, user_agent="of-the-admin")
    assert answer.status == 201, answer.raw
    return dict(answer.body)


async def list_recorded(api: Api, resource_id: str) -> list[dict[str, Any]]:
    answer = await api("GET", f"/v1/admin/audit?limit=200&resource_id={resource_id}")
    assert answer.status == 200, answer.raw
    return list(answer.body["events"])


async def until_recorded(api: Api, resource_id: str, seconds: float = 20) -> list[dict[str, Any]]:
    async def recorded() -> list[dict[str, Any]]:
        return await list_recorded(api, resource_id)

    return await until(recorded, seconds)


async def count_refused(stack: Stack, http: ClientSession, service: str) -> int:
    """How many messages that process has refused."""
    url = stack.ready["services"][service]["url"]
    async with http.get(f"{url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    counts = [each for each in lines if each.startswith("tenantry_events_refused_total{")]
    return sum(round(float(each.rpartition(" ")[2])) for each in counts)


async def assert_refused(
    stack: Stack, http: ClientSession, before: dict[str, int], count: int
) -> None:
    """By each of `before`, within seconds."""
    for service, number in before.items():

        async def enough(service: str = service, number: int = number) -> bool:
            return await count_refused(stack, http, service) == number + count

        await until(enough, 20)


async def refusals(stack: Stack, http: ClientSession) -> dict[str, int]:
    """Of those that consume every event."""
    return {name: await count_refused(stack, http, name) for name in ("audit", "webhooks")}


@pytest.mark.parametrize("service", SERVICE_NAMES)
async def test_a_service_can_publish_below_its_own_name_alone(stack: Stack, service: str) -> None:
    forbidden = [
        *(f"tenantry.events.{other}.user.deleted" for other in SERVICE_NAMES if other != service),
        *(f"tenantry.lifecycle.{other}.x.y" for other in SERVICE_NAMES if other != service),
        f"$JS.API.STREAM.CREATE.{STREAM}",
        f"$JS.API.STREAM.UPDATE.{STREAM}",
        f"$JS.API.STREAM.DELETE.{STREAM}",
        f"$JS.API.STREAM.PURGE.{STREAM}",
        f"$JS.API.STREAM.RESTORE.{STREAM}",
        "$JS.API.STREAM.CREATE.MIRROR",
        f"$JS.API.CONSUMER.CREATE.{STREAM}",
        f"$JS.API.CONSUMER.CREATE.{STREAM}.{service}",
        f"$JS.API.CONSUMER.CREATE.{STREAM}.{service}.tenantry.events.>",
        f"$JS.API.CONSUMER.DURABLE.CREATE.{STREAM}.{service}",
        f"$JS.API.CONSUMER.DELETE.{STREAM}.{service}",
        "$SYS.REQ.SERVER.PING",
    ]
    async with connected_as(stack, service) as (client, refused):
        for subject in forbidden:
            await client.publish(subject, b"{}")
        await client.flush()
        await client.flush()

        async def all_refused() -> bool:
            return all(any(f'"{each.lower()}"' in error for error in refused) for each in forbidden)

        await until(all_refused, 5, why=lambda: refused)


@pytest.mark.parametrize("publisher", SERVICE_NAMES)
async def test_nobody_is_believed_about_what_others_own(
    stack: Stack, http: ClientSession, api: Api, publisher: str
) -> None:
    user = await create_user(api)
    await until_recorded(api, user["id"])
    before = await refusals(stack, http)
    own_user = publisher == "identity"
    forged = [
        # The type of one service, the subject and the source of others.
        (event_type, source)
        for event_type, source in (
            ("user.deleted", "identity"),
            ("user.deleted", publisher),
            ("project.deleted", "projects"),
            ("project.deleted", publisher),
            ("user.of_the_next_release", publisher),
        )
        if not (own_user and event_type.startswith("user."))
        and not (publisher == "projects" and event_type.startswith("project."))
    ]
    async with connected_as(stack, publisher) as (client, _):
        js = client.jetstream()
        for event_type, source in forged:
            resource = user["id"] if event_type.startswith("user.") else new_id("prj")
            name = f"{event_type.partition('.')[0]}_id"
            event = envelope(event_type, source, api.tenant, resource, **{name: resource})
            await js.publish(event_subject(publisher, event_type), orjson.dumps(event))
    await assert_refused(stack, http, before, len(forged))
    recorded = await list_recorded(api, user["id"])
    assert [each["action"] for each in recorded] == ["user.created"]
    assert recorded[0]["user_agent"] == "of-the-admin", "and nothing of it was erased"


@pytest.mark.parametrize("publisher", [name for name in SERVICE_NAMES if name != "projects"])
async def test_each_service_confirms_its_own_erasure_alone(
    stack: Stack, http: ClientSession, operator: Api, publisher: str
) -> None:
    slug = new_id("prj").replace("_", "-")
    created = await operator("POST", "/v1/admin/tenants", {"name": "Doomed", "slug": slug})
    tenant = created.body["tenant"]["id"]
    before = await count_refused(stack, http, "projects")
    async with connected_as(stack, publisher) as (client, _):
        for source in SERVICE_NAMES:
            if source != publisher:
                event = envelope("tenant.erased", source, tenant, tenant)
                subject = f"tenantry.lifecycle.{publisher}.tenant.erased"
                await client.jetstream().publish(subject, orjson.dumps(event))
    await assert_refused(stack, http, {"projects": before}, len(SERVICE_NAMES) - 1)


async def test_nobody_but_projects_has_a_tenant_erased(
    stack: Stack, http: ClientSession, api: Api
) -> None:
    user = await create_user(api)
    async with connected_as(stack, "identity") as (client, _):
        for source in ("identity", "projects"):
            event = envelope("tenant.deletion_requested", source, api.tenant, api.tenant)
            subject = "tenantry.lifecycle.identity.tenant.deletion_requested"
            await client.jetstream().publish(subject, orjson.dumps(event))
    await until_recorded(api, user["id"])
    assert (await api("GET", f"/v1/admin/users/{user['id']}")).status == 200


@pytest.mark.parametrize("kind", ["bodies", "headers"])
async def test_what_is_no_event_is_counted_and_stops_nobody(
    stack: Stack, http: ClientSession, api: Api, kind: str
) -> None:
    processes = {name: stack.ready["processes"][name] for name in ("audit", "webhooks")}
    before = await refusals(stack, http)
    messages = [(SUBJECT, HEAD, body) for body in BODIES.values()]
    if kind == "headers":
        messages = [(SUBJECT, each, orjson.dumps(EVENT)) for each in HEADERS.values()]
    await publish_raw(stack, "webhooks", messages)
    await assert_refused(stack, http, before, len(messages))
    user = await create_user(api)
    await until_recorded(api, user["id"], 5)
    assert {name: stack.ready["processes"][name] for name in processes} == processes
    await until(lambda: is_drained(stack, http))


@pytest.mark.parametrize("header", STATUSES)
async def test_a_message_that_looks_like_an_answer_of_the_server_stops_nobody(
    stack: Stack, http: ClientSession, api: Api, header: str
) -> None:
    processes = {name: stack.ready["processes"][name] for name in ("audit", "webhooks")}
    await publish_raw(stack, "webhooks", [(SUBJECT, STATUSES[header], b"")])
    for _ in range(2):
        user = await create_user(api)
        await until_recorded(api, user["id"], 5)
    await until(lambda: is_drained(stack, http), 20)
    assert {name: stack.ready["processes"][name] for name in processes} == processes


async def is_drained(stack: Stack, http: ClientSession) -> bool:
    """Whether every message was processed or refused, and none is sent again."""
    for service in ("audit", "webhooks"):
        url = stack.ready["services"][service]["url"]
        async with http.get(f"{url}/health") as answer:
            events = (await answer.json())["checks"]["events"]
        if events["pending"] or events["unacked"]:
            return False
    return True


async def test_a_consumer_cannot_send_the_stream_into_calls(stack: Stack, api: Api) -> None:
    """The server sends a consumer's messages to whatever subject it is asked to."""
    user = await create_user(api)
    path = json.dumps({"id": user["id"]})
    context = {
        "tenant_id": api.tenant,
        "request_id": "req_1",
        "traceparent": EVENT["traceparent"],
        "path": json.loads(path),
        "deadline": 4e9,
    }
    header = f"NATS/1.0\r\nTenantry-Context: {json.dumps(context)}\r\n\r\n".encode()
    # What webhooks pulls next is not always this message: another process pulls as well.
    await publish_raw(stack, "webhooks", [(SUBJECT, header, b"")] * 20)
    async with connected_as(stack, "webhooks") as (client, _):
        for _ in range(20):
            await client.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.webhooks",
                b'{"batch": 20, "expires": 1000000000}',
                reply="tenantry.rpc.identity.delete_user",
            )
            await publish_raw(stack, "webhooks", [(SUBJECT, header, b"")])
        await client.flush()
    later = await create_user(api)
    await until_recorded(api, later["id"])
    assert (await api("GET", f"/v1/admin/users/{user['id']}")).status == 200
