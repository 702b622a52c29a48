"""Importing users: each line by itself, as if they had come one after another."""

import asyncio
import json
from typing import Any

import pytest
from contracts import users as calls
from service.identity.client import IdentityClient


async def _import(
    client: IdentityClient, *lines: Any, first: int = 1, key: str | None = None
) -> list[dict[str, Any]]:
    text = [each if isinstance(each, str) or each is None else json.dumps(each) for each in lines]
    body = {"first": first, "digest": "d", "lines": text}
    imported = await client.call(calls.IMPORT_USERS, body, idempotency_key=key)
    assert imported.status == 200, imported.reply.body
    results = [json.loads(line) for line in imported.reply.body.splitlines()]
    for each in results:
        calls.ImportResult.model_validate(each)
    assert [each["line"] for each in results] == list(range(first, first + len(lines)))
    return results


async def test_an_imported_user_is_as_if_it_was_created(client: IdentityClient) -> None:
    lines = [
        {"email": "Ada@Example.com", "username": "ada", "metadata": {"a": [1, {"b": None}]}},
        {"email": "bob@example.com", "external_id": "7", "name": "Böb", "status": "suspended"},
    ]
    results = await _import(client, *lines, first=11)
    assert [each["status"] for each in results] == [201, 201]
    assert set(results[0]) == {"line", "status", "id"}
    events = await client.events()
    assert [each["subject"] for each in events] == [each["id"] for each in results]
    for result, event, line in zip(results, events, lines, strict=True):
        found = await client.get_user(result["id"])
        shown = {name: found[name] for name in calls.User.model_fields}
        assert (event["type"], event["data"]) == ("user.created", {"user": shown})
        assert {**shown, **line, "email": shown["email"]} == shown


async def test_an_invalid_line_fails_alone(client: IdentityClient) -> None:
    many = {f"x{number}": number for number in range(100)}
    results = await _import(
        client,
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
    assert len(results[9]["errors"]) == 20
    assert all(each["errors"] for each in results[1:-1])
    assert len(await client.events()) == 2


async def test_each_line_says_what_is_taken(
    client: IdentityClient, other_client: IdentityClient
) -> None:
    await _import(client, {"email": "A@example.com", "username": "a", "external_id": "1"})
    await other_client.create_user("free@example.com", username="free")
    results = await _import(
        client,
        {"email": "a@EXAMPLE.com", "username": "first"},
        {"email": "free@example.com", "username": "first"},
        {"email": "c@example.com", "username": "FIRST"},
        {"email": "d@example.com", "external_id": "1"},
        {"email": "FREE@example.com", "username": "A", "external_id": "1"},
        {"email": "e@example.com", "username": "free"},
    )
    # The first line created no user: its name was still free for the second.
    assert [each.get("code") for each in results] == [
        "email_taken", None, "username_taken", "external_id_taken", "email_taken", None,
    ]  # fmt: skip
    assert [each["status"] for each in results] == [409, 201, 409, 409, 409, 201]
    fields = [error["field"] for error in results[4]["errors"]]
    assert fields == ["email", "username", "external_id"]
    assert len(await client.events()) == 3


async def test_a_repeated_key_gives_the_first_results(client: IdentityClient) -> None:
    lines = [{"email": "a@example.com"}, {"email": "A@example.com"}]
    first = await _import(client, *lines, key="k 0")
    again = await _import(client, *lines, key="k 0")
    assert first == again
    assert [each["status"] for each in first] == [201, 409]
    body = {"first": 1, "digest": "another import", "lines": [json.dumps(each) for each in lines]}
    other = await client.call(calls.IMPORT_USERS, body, idempotency_key="k 0")
    assert (other.status, other.body["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("order", [1, -1])
async def test_two_imports_of_the_same_users_create_each_once(
    client: IdentityClient, order: int
) -> None:
    lines = [{"email": f"u{number}@example.com"} for number in range(300)]
    both = await asyncio.gather(_import(client, *lines), _import(client, *lines[::order]))
    statuses = [each["status"] for results in both for each in results]
    assert (statuses.count(201), statuses.count(409)) == (300, 300)
    assert len(await client.events()) == 300
