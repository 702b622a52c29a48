"""The audit trail: what becomes of an event, and how its tenant reads it."""

from contracts import audit as calls
from contracts.ids import new_id
from support.owner import TRACE, Owner, heard, heard_lifecycle


async def test_an_event_is_shown_as_the_contract_says(audit: Owner, tenant: str, receive) -> None:
    user = new_id("usr")
    changes = {
        "email": {"from": "a@x.example", "to": "b@x.example"},
        "status": {"from": 1, "to": 2},
    }
    event = heard(tenant, "user.updated", user, {"changes": changes}, time="2026-01-15T10:00:00Z")
    await receive(event)
    found = await audit.call(calls.GET_EVENT, tenant, path={"event_id": event.id})
    assert found.body == {
        "id": event.id,
        "sequence": 1,
        "actor_type": "api_key",
        "actor_id": "key_01jt7a3v9qf8mbd2m0q5k4h6xz",
        "action": "user.updated",
        "resource_type": "user",
        "resource_id": user,
        "ip_address": "203.0.113.7",
        "user_agent": "tests",
        "request_id": "req_1",
        "changes": changes,
        "created_at": "2026-01-15T10:00:00Z",
    }
    calls.AuditEvent.model_validate(found.body)
    listed = await audit.call(calls.LIST_EVENTS, tenant)
    assert listed.body["events"] == [found.body]
    assert listed.body["pagination"] == {
        "page": 1,
        "limit": 50,
        "total": 1,
        "total_exact": True,
        "next_cursor": None,
    }


async def test_another_tenants_event_does_not_exist(audit: Owner, tenant: str, receive) -> None:
    event = heard(tenant, "user.created", new_id("usr"))
    await receive(event)
    for caller, wanted in ((new_id("ten"), event.id), (tenant, new_id("evt"))):
        found = await audit.call(calls.GET_EVENT, caller, path={"event_id": wanted})
        assert (found.status, found.body["code"]) == (404, "not_found")
    assert (await audit.call(calls.LIST_EVENTS, new_id("ten"))).body["events"] == []


async def test_an_event_received_twice_is_recorded_once(audit: Owner, tenant: str, receive) -> None:
    first, second = (heard(tenant, "user.created", new_id("usr")) for _ in range(2))
    await receive(first, second, first)
    await receive(second)
    feed = await audit.call(calls.GET_FEED, tenant)
    assert [(each["sequence"], each["id"]) for each in feed.body["events"]] == [
        (1, first.id),
        (2, second.id),
    ]


async def test_the_use_of_a_refused_key_is_recorded(audit: Owner, tenant: str, receive) -> None:
    key = new_id("key")
    data = {"resource_id": key, "code": "revoked"}
    await receive(
        heard_lifecycle(tenant, "api_key.refused", data),
        heard_lifecycle(tenant, "tenant.erased"),
    )
    (event,) = (await audit.call(calls.LIST_EVENTS, tenant)).body["events"]
    assert (event["action"], event["resource_type"]) == ("api_key.refused", "api_key")
    assert (event["resource_id"], event["changes"]) == (key, {})
    assert event["ip_address"] == "203.0.113.9"
    row = await audit.pool.fetchrow(
        "SELECT reason, traceparent FROM events WHERE tenant_id = $1", tenant
    )
    assert tuple(row) == ("revoked", TRACE)


async def test_what_looks_like_a_secret_is_never_stored(audit: Owner, tenant: str, receive) -> None:
    changes = {
        "token": {"from": "s3cret", "to": "s3cret"},
        "settings": {
            "from": {"access_token_ttl": 60, "nested": [{"clientSecret": "s3cret"}]},
            "to": {"access_token_ttl": 90, "password_hash": "s3cret"},
        },
    }
    await receive(heard(tenant, "project.updated", new_id("prj"), {"changes": changes}))
    found = await audit.call(calls.LIST_EVENTS, tenant)
    assert b"s3cret" not in found.reply.body
    assert found.body["events"][0]["changes"] == {
        "settings": {
            "from": {"access_token_ttl": 60, "nested": [{}]},
            "to": {"access_token_ttl": 90},
        }
    }


async def test_the_feed_continues_after_a_sequence(audit: Owner, tenant: str, receive) -> None:
    await receive(*(heard(tenant, "user.created", new_id("usr")) for _ in range(5)))
    seen, after, more = [], 0, True
    while more:
        page = (await audit.call(calls.GET_FEED, tenant, query={"after": after, "limit": 2})).body
        calls.Feed.model_validate(page)
        seen += [each["sequence"] for each in page["events"]]
        after, more = page["next_after"], page["has_more"]
    assert (seen, after) == ([1, 2, 3, 4, 5], 5)
    last = (await audit.call(calls.GET_FEED, tenant, query={"after": 5})).body
    assert last == {"events": [], "next_after": 5, "has_more": False}


async def test_a_walk_by_cursor_is_complete_while_events_arrive(
    audit: Owner, tenant: str, receive
) -> None:
    await receive(*(heard(tenant, "user.created", new_id("usr")) for _ in range(25)))
    await receive(heard(tenant, "user.deleted", new_id("usr")))
    seen: list[int] = []
    query: dict[str, object] = {"limit": 4, "action": "user.created"}
    while True:
        page = (await audit.call(calls.LIST_EVENTS, tenant, query=query)).body
        seen += [each["sequence"] for each in page["events"]]
        await receive(heard(tenant, "user.created", new_id("usr")))
        if page["pagination"]["next_cursor"] is None:
            break
        query["cursor"] = page["pagination"]["next_cursor"]
    assert seen == list(range(25, 0, -1))
    other = {**query, "action": "user.*"}
    refused = await audit.call(calls.LIST_EVENTS, tenant, query=other)
    assert (refused.status, refused.body["errors"][0]["code"]) == (422, "invalid_cursor")


async def test_dates_are_inclusive_and_a_bare_end_date_is_a_whole_day(
    audit: Owner, tenant: str, receive
) -> None:
    times = [
        "2026-02-27T23:59:59.999999Z",
        "2026-02-28T00:00:00Z",
        "2026-02-28T12:00:00.5Z",
        "2026-02-28T23:59:59.999999Z",
        "2026-03-01T00:00:00Z",
    ]
    await receive(*(heard(tenant, "user.created", new_id("usr"), time=time) for time in times))

    async def found(**query: str) -> list[int]:
        page = (await audit.call(calls.LIST_EVENTS, tenant, query=query)).body
        assert page["pagination"]["total"] == len(page["events"])
        return [each["sequence"] for each in page["events"]]

    assert await found(start_date="2026-02-28", end_date="2026-02-28") == [4, 3, 2]
    assert await found(end_date="2026-02-28") == [4, 3, 2, 1]
    assert await found(start_date="2026-02-28T12:00:00.5Z", end_date="2026-03-01T00:00:00Z") == [
        5,
        4,
        3,
    ]
    assert await found(end_date="2026-02-27T23:59:59.999998Z") == []
    assert await found(start_date="2026-03-01T01:00:00+01:00") == [5]
    assert await found(start_date="2026-03-02", end_date="2026-03-01") == []
    assert await found(start_date="0001-01-01", end_date="9999-12-31") == [5, 4, 3, 2, 1]


async def test_unknown_or_senseless_filters_are_refused(audit: Owner, tenant: str) -> None:
    for query in (
        {"nope": "1"},
        {"limit": "201"},
        {"page": "0"},
        {"action": "*"},
        {"actor_type": "robot"},
        {"resource_id": "a\x00b"},
        {"request_id": "\ud800"},
        {"end_date": "2026-02-30"},
    ):
        answer = await audit.call(calls.LIST_EVENTS, tenant, query=query)
        assert answer.status == 422, query
