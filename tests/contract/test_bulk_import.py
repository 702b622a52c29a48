"""Section 4 of the contract: users imported as a stream of lines, each with its result."""

import asyncio
import json
from typing import Any

from edge import bulk_import
from support.api import Answer, Api
from support.waiting import until

NDJSON = "application/x-ndjson"


def _lines(count: int, prefix: str = "u") -> bytes:
    users = ({"email": f"{prefix}{number}@example.com"} for number in range(count))
    return b"".join(json.dumps(user).encode() + b"\n" for user in users)


async def _import(api: Api, data: bytes, **headers: str) -> Answer:
    return await api(
        "POST", "/v1/admin/users/bulk", data=data, **{"content_type": NDJSON, **headers}
    )


def _results(answer: Answer) -> list[dict[str, Any]]:
    assert (answer.status, answer.headers["Content-Type"]) == (200, NDJSON), answer.raw[:500]
    return [json.loads(line) for line in answer.raw.splitlines()]


async def test_there_is_one_result_for_each_line_in_order(api: Api) -> None:
    lines = _lines(600).splitlines()
    lines[3], lines[400], lines[599] = b"{", b"\xff", lines[0]
    results = _results(await _import(api, b"\n".join(lines)))
    assert [each["line"] for each in results] == list(range(1, 601))
    bad = {each["line"]: (each["status"], each["code"]) for each in results if "id" not in each}
    malformed = (400, "malformed_json")
    assert bad == {4: malformed, 401: malformed, 600: (409, "email_taken")}
    listed = await api("GET", "/v1/admin/users?limit=1")
    assert listed.body["pagination"]["total"] == 597
    first = await api("GET", f"/v1/admin/users/{results[0]['id']}")
    assert first.body["email"] == "u0@example.com"


async def test_results_come_before_all_is_done(api: Api) -> None:
    headers = {"Authorization": f"Bearer {api.key}", "Content-Type": NDJSON}
    url = api.url + "/v1/admin/users/bulk"
    async with api.http.post(url, data=_lines(5000), headers=headers) as answer:
        first = json.loads(await answer.content.readline())
        assert (first["line"], first["status"]) == (1, 201)
        done = (await api("GET", "/v1/admin/users?limit=1")).body["pagination"]["total"]
        rest = await answer.content.read()
    assert done < 5000
    assert len(rest.splitlines()) == 4999


async def test_a_repeat_tells_again_and_an_interrupted_one_is_finished(api: Api) -> None:
    data = _lines(1000)
    headers = {
        "Authorization": f"Bearer {api.key}", "Content-Type": NDJSON, "Idempotency-Key": "once",
    }  # fmt: skip
    async with api.http.post(
        api.url + "/v1/admin/users/bulk", data=data, headers=headers
    ) as answer:
        await answer.content.readline()
        answer.close()

    async def finished() -> Answer | None:
        again = await _import(api, data, idempotency_key="once")
        return (
            again if again.status == 200 and b'"idempotency_in_flight"' not in again.raw else None
        )

    again = await until(finished)
    assert [each["status"] for each in _results(again)] == [201] * 1000
    third = await _import(api, data, idempotency_key="once")
    assert (third.raw, third.headers["Idempotent-Replayed"]) == (again.raw, "true")
    other = await _import(api, data + b'{"email": "x@example.com"}', idempotency_key="once")
    assert (other.status, other.body["code"]) == (422, "idempotency_key_reused")
    listed = await api("GET", "/v1/admin/users?limit=1")
    assert listed.body["pagination"]["total"] == 1000


async def test_what_is_too_much_or_nothing_is_refused_as_a_whole(api: Api) -> None:
    for data, status, code in (
        (b"", 422, "validation_failed"),
        (_lines(10_001), 413, "payload_too_large"),
        (b"x" * (8 * 1024 * 1024 + 1), 413, "payload_too_large"),
    ):
        answer = await _import(api, data)
        assert (answer.status, answer.body["code"]) == (status, code)
    for media_type in ("application/json", "text/plain", "application/x-ndjson; charset=latin-1"):
        answer = await _import(api, _lines(1), content_type=media_type)
        assert (answer.status, answer.body["code"]) == (415, "unsupported_media_type")
    wrong = await api("POST", "/v1/admin/users/bulk?x=1", data=_lines(1), content_type=NDJSON)
    assert (wrong.status, wrong.body["code"]) == (422, "validation_failed")
    assert (await api("GET", "/v1/admin/users")).body["pagination"]["total"] == 0


async def test_eight_mebibytes_of_lines_are_taken(api: Api) -> None:
    users = [
        {"email": f"u{number}@example.com", "metadata": {"text": "x" * 14_000}}
        for number in range(590)
    ]
    data = b"\n".join(json.dumps(user).encode() for user in users)
    assert 8_000_000 < len(data) < bulk_import.MAX_BYTES
    assert [each["status"] for each in _results(await _import(api, data))] == [201] * 590


async def test_no_tenant_takes_all_the_places(api: Api) -> None:
    """Whoever has too many at once is told so; others are served, and so is it afterwards."""
    count = bulk_import.MAX_PER_TENANT * 3
    answers = await asyncio.gather(
        *(_import(api, _lines(2000, f"n{number}-")) for number in range(count))
    )
    refused = [each for each in answers if each.status != 200]
    assert {(each.status, each.body["code"]) for each in refused} <= {(429, "rate_limited")}
    assert len(answers) - len(refused) >= bulk_import.MAX_PER_TENANT
    done = [result for each in answers if each.status == 200 for result in _results(each)]
    assert {each["status"] for each in done} == {201}
    assert _results(await _import(api, _lines(1, "last")))[0]["status"] == 201
