"""Names that nobody can read or tell apart are refused wherever a name is written."""

import json

import pytest
from support.api import Api

ZERO_WIDTH = "Acme\u200b"
WIDE = "\uff21\uff23\uff2d\uff25"
REVERSED = "Acme \u202egpj.exe"


async def _project(api: Api) -> str:
    return str((await api("POST", "/v1/admin/projects", {"name": "P"})).body["id"])


async def _organization(api: Api) -> str:
    return str((await api("POST", "/v1/admin/organizations", {"name": "O"})).body["id"])


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("organizations", {}, "name"),
        ("projects", {}, "name"),
        ("projects/{project}/api-keys", {"scopes": ["users:read"]}, "name"),
        ("users", {"email": "ada@example.com"}, "name"),
        ("users", {"email": "ada@example.com"}, "username"),
        ("users", {"email": "ada@example.com"}, "external_id"),
        ("webhooks", {"url": "https://example.com", "events": ["*"]}, "description"),
    ],
)
async def test_what_is_invisible_is_refused(api: Api, path: str, body: dict, field: str) -> None:
    path = "/v1/admin/" + path.format(project=await _project(api) if "{" in path else "")
    for text, character in ((ZERO_WIDTH, "U+200B"), (REVERSED, "U+202E")):
        answer = await api("POST", path, {**body, field: text})
        assert answer.status == 422, answer.raw
        (error,) = answer.body["errors"]
        assert (error["field"], error["code"]) == (field, "invalid_text")
        assert character in error["message"]
        assert "allowed" in error["message"]


async def test_tenants_and_their_keys_have_readable_names(api: Api, operator: Api) -> None:
    answers = [
        await operator("POST", "/v1/admin/tenants", {"name": ZERO_WIDTH}),
        await operator("PATCH", f"/v1/admin/tenants/{api.tenant}", {"name": ZERO_WIDTH}),
        await operator("POST", f"/v1/admin/tenants/{api.tenant}/root-keys", {"name": ZERO_WIDTH}),
    ]
    assert [answer.status for answer in answers] == [422, 422, 422], [a.raw for a in answers]


async def test_an_address_has_no_invisible_letter(api: Api) -> None:
    email = "ada\u3164@example.com"
    invitations = f"/v1/admin/organizations/{await _organization(api)}/invitations"
    answers = [
        await api("POST", "/v1/admin/users", {"email": email}),
        await api("POST", invitations, {"email": email}),
    ]
    assert [answer.status for answer in answers] == [422, 422], [a.raw for a in answers]


async def test_a_line_of_an_import_fails_alone(api: Api) -> None:
    names = ["Ada", ZERO_WIDTH, "👨\u200d👩\u200d👧"]
    lines = [{"email": f"u{at}@example.com", "name": name} for at, name in enumerate(names)]
    answer = await api(
        "POST",
        "/v1/admin/users/bulk",
        data="\n".join(map(json.dumps, lines)).encode(),
        content_type="application/x-ndjson",
    )
    results = [json.loads(line) for line in answer.raw.splitlines()]
    assert [each["status"] for each in results] == [201, 422, 201]
    assert results[1]["errors"][0]["field"] == "name"


async def test_usernames_of_another_width_are_the_same(api: Api) -> None:
    first = await api("POST", "/v1/admin/users", {"email": "a@example.com", "username": WIDE})
    assert (first.status, first.body["username"]) == (201, "ACME")
    second = await api("POST", "/v1/admin/users", {"email": "b@example.com", "username": "acme"})
    assert (second.status, second.body["code"]) == (409, "username_taken")
    path = f"/v1/admin/users/{first.body['id']}"
    again = await api("PATCH", path, {"username": WIDE})
    assert (again.status, again.body["version"]) == (200, 1)
