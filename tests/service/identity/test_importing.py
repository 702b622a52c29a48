"""Importing users: each line for itself, as if they had come one after another."""

import asyncio
import json
from typing import Any

import pytest
from contracts import users as calls
from contracts.ids import new_id
from support.owner import Owner


async def _import(
    identity: Owner, tenant: str, *lines: Any, first: int = 1, key: str | None = None
) -> list[dict[str, Any]]:
    text = [each if isinstance(each, str) or each is None else json.dumps(each) for each in lines]
    body = {"first": first, "digest": "d", "lines": text}
    answer = await identity.call(calls.IMPORT_USERS, tenant, body, idempotency_key=key)
    assert answer.status == 200, answer.reply.body
    results = [json.loads(line) for line in answer.reply.body.splitlines()]
    for each in results:
        calls.ImportResult.model_validate(each)
    assert [each["line"] for each in results] == list(range(first, first + len(lines)))
    return results


async def test_what_is_imported_is_as_if_it_was_created(identity: Owner, tenant: str) -> None:
    lines = [
        {"email": "Ada@Example.com", "username": "ada", "metadata": {"a": [1, {"b": None}]}},
        {"email": "bob@example.com", "external_id": "7", "name": "Böb", "status": "suspended"},
    ]
    results = await _import(identity, tenant, *lines, first=11)
    assert [each["status"] for each in results] == [201, 201]
    assert set(results[0]) == {"line", "status", "id"}
    events = await identity.events(tenant)
    assert [each["subject"] for each in events] == [each["id"] for each in results]
    for result, event, line in zip(results, events, lines, strict=True):
        found = await identity.call(calls.GET_USER, tenant, path={"id": result["id"]})
        shown = {name: found.body[name] for name in calls.User.model_fields}
        assert (event["type"], event["data"]) == ("user.created", {"user": shown})
        assert {**shown, **line, "email": shown["email"]} == shown


async def test_a_bad_line_fails_alone(identity: Owner, tenant: str) -> None:
    many = {f"x{number}": number for number in range(100)}
    results = await _import(
        identity,
        tenant,
        {"email": "a@example.com"},
        "",
        "{",
        None,
        "[]",
        {"email": "nonsense", "name": 7},
        {"email": "b@example.com", "metadata": {"a": "\0"}},
        {"email": "b@example.com", "metadata": {"a": "x" * 20_000}},
        {"email": "c@example.com", "name": "\ud800"},
        {"email": "d@example.com", **many},
        {"email": "z@example.com"},
    )
    codes = [(each["status"], each.get("code")) for each in results]
    malformed, refused = (400, "malformed_json"), (422, "validation_failed")
    assert codes[0] == codes[-1] == (201, None)
    assert codes[1:4] == [malformed] * 3
    assert codes[4:8] == [refused] * 4
    assert codes[8:10] == [malformed, refused]
    assert [each["field"] for each in results[5]["errors"]] == ["email", "name"]
    assert results[6]["errors"][0]["field"] == "metadata"
    assert len(results[9]["errors"]) == 10
    assert all(each["errors"] for each in results[1:-1])
    assert len(await identity.events(tenant)) == 2


async def test_what_is_taken_is_said_of_each_line(identity: Owner, tenant: str) -> None:
    await _import(identity, tenant, {"email": "A@example.com", "username": "a", "external_id": "1"})
    await _import(identity, new_id("ten"), {"email": "free@example.com", "username": "free"})
    results = await _import(
        identity,
        tenant,
        {"email": "a@EXAMPLE.com", "username": "first"},
        {"email": "free@example.com", "username": "first"},
        {"email": "c@example.com", "username": "FIRST"},
        {"email": "d@example.com", "external_id": "1"},
        {"email": "FREE@example.com", "username": "A", "external_id": "1"},
        {"email": "e@example.com", "username": "free"},
    )
    # The first line made no user: its name was still there for the second.
    assert [each.get("code") for each in results] == [
        "email_taken", None, "username_taken", "external_id_taken", "email_taken", None,
    ]  # fmt: skip
    assert [each["status"] for each in results] == [409, 201, 409, 409, 409, 201]
    fields = [error["field"] for error in results[4]["errors"]]
    assert fields == ["email", "username", "external_id"]
    assert len(await identity.events(tenant)) == 3


async def test_a_repeat_of_a_part_tells_again_what_was_done(identity: Owner, tenant: str) -> None:
    lines = [{"email": "a@example.com"}, {"email": "A@example.com"}]
    first = await _import(identity, tenant, *lines, key="k 0")
    again = await _import(identity, tenant, *lines, key="k 0")
    assert first == again
    assert [each["status"] for each in first] == [201, 409]
    body = {"first": 1, "digest": "another import", "lines": [json.dumps(each) for each in lines]}
    other = await identity.call(calls.IMPORT_USERS, tenant, body, idempotency_key="k 0")
    assert (other.status, other.body["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("order", [1, -1])
async def test_two_imports_of_the_same_people_make_each_once(
    identity: Owner, tenant: str, order: int
) -> None:
    lines = [{"email": f"u{number}@example.com"} for number in range(300)]
    both = await asyncio.gather(
        _import(identity, tenant, *lines), _import(identity, tenant, *lines[::order])
    )
    statuses = [each["status"] for results in both for each in results]
    assert (statuses.count(201), statuses.count(409)) == (300, 300)
    assert len(await identity.events(tenant)) == 300
