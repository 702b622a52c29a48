"""Whatever is wrong with a request, and how often: the answer is small and says how much more."""

import json

import pytest
from support.api import Api

MANY = 25_000
LONG = "k" * 200_000
MOST = 8 * 1024
"""Bytes of an answer that lists faults."""


async def test_a_body_with_many_faults_gets_twenty_of_them_and_a_count(api: Api) -> None:
    body = json.dumps({f"{number:x}": 1 for number in range(MANY)}, separators=(",", ":"))
    answer = await api("POST", "/v1/admin/users", data=body.encode())
    assert (answer.status, answer.body["code"]) == (422, "validation_failed")
    assert len(answer.body["errors"]) == 20
    assert answer.body["errors_omitted"] == MANY + 1 - 20  # `email` is missing as well
    assert len(answer.raw) < MOST


async def test_a_few_faults_are_listed_whole(api: Api) -> None:
    body = {"email": "a@b.cd", **{f"f{number}": 1 for number in range(20)}}
    answer = await api("POST", "/v1/admin/users", body)
    assert len(answer.body["errors"]) == 20
    assert "errors_omitted" not in answer.body


@pytest.mark.parametrize(
    "body",
    [
        {"email": "a@b.cd", LONG: 1},
        {"email": "a@b.cd", "metadata": {LONG: float("nan")}},
        {"email": LONG},
    ],
    ids=["an unknown field", "a member of metadata", "a value"],
)
async def test_what_is_long_is_not_sent_back(api: Api, body: dict[str, object]) -> None:
    answer = await api("POST", "/v1/admin/users", body)
    assert 400 <= answer.status < 500
    assert len(answer.raw) < MOST


@pytest.mark.parametrize(
    "query", ["&".join(f"f{number}=1" for number in range(8_000)), "a=1&" * 15_000, "k" * 60_000]
)
async def test_a_query_with_many_faults_gets_a_short_answer(api: Api, query: str) -> None:
    answer = await api("GET", f"/v1/admin/users?{query}")
    assert answer.status == 422
    assert len(answer.body["errors"]) <= 20
    assert len(answer.raw) < MOST


async def test_each_line_of_an_import_has_a_bounded_list(api: Api) -> None:
    many = {"email": "a@b.cd", **{f"f{number}": 1 for number in range(5_000)}}
    lines = [json.dumps(each).encode() for each in (many, {"email": "a@b.cd", LONG: 1})]
    answer = await api(
        "POST",
        "/v1/admin/users/bulk",
        data=b"\n".join(lines),
        content_type="application/x-ndjson",
    )
    assert answer.status == 200
    first, second = [json.loads(line) for line in answer.raw.splitlines()]
    assert (first["status"], len(first["errors"])) == (422, 20)
    assert first["errors_omitted"] == 5_000 - 20
    assert second["status"] == 422
    assert len(answer.raw) < 2 * MOST
