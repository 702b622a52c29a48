"""Identifiers and tokens in queries and bodies: what is another tenant's is as if it were not."""

import re
from typing import Any

import pytest
from contracts.ids import new_id
from contracts.secrets import new_secret
from edge.routers import ROUTES
from pydantic import BaseModel
from security.sample_tenant import SampleTenant
from support.api import Api
from support.figures import FIGURES

USERS = "/v1/admin/users"
ORGANIZATIONS = "/v1/admin/organizations"
NOT_LOOKED_UP = {
    "create_webhook.ignore_actor_ids",
    "update_webhook.ignore_actor_ids",
    # A tenant's own word for a user, and the caller's for a request.
    "create_user.external_id",
    "update_user.external_id",
    "list_users.external_id",
    "list_events.request_id",
    "export_events.request_id",
    "issue_token.client_id",
}
QUERIES = [
    ("list_users", "organization_id", "org", USERS),
    ("list_organizations", "user_id", "usr", ORGANIZATIONS),
    ("list_events", "actor_id", "root", "/v1/admin/audit"),
    ("list_events", "resource_id", "prj", "/v1/admin/audit"),
    ("export_events", "actor_id", "root", "/v1/admin/audit/export"),
    ("export_events", "resource_id", "whk", "/v1/admin/audit/export"),
]
BODIES = [
    ("create_organization", "owner_id", "usr"),
    ("add_member", "user_id", "usr"),
    ("create_session", "project_id", "prj"),
    ("create_session", "organization_id", "org"),
]


def identifiers(model: type[BaseModel] | None) -> list[str]:
    return [name for name in (model.model_fields if model else ()) if re.search(r"_ids?$", name)]


def test_no_identifier_is_forgotten() -> None:
    """A field that comes to name something must come to this file too."""
    found = {
        f"{route.call.name}.{name}"
        for route in ROUTES
        for name in (*identifiers(route.call.body), *identifiers(route.call.query))
    }
    looked_up = {f"{call}.{name}" for call, name, *_ in [*QUERIES, *BODIES]}
    assert found == looked_up | NOT_LOOKED_UP


@pytest.mark.parametrize(("call", "name", "prefix", "path"), QUERIES)
async def test_a_foreign_identifier_in_a_query_finds_nothing(
    here: SampleTenant, there: SampleTenant, call: str, name: str, prefix: str, path: str
) -> None:
    foreign, absent = there.ids[prefix], new_id("key" if prefix == "root" else prefix)
    answers = []
    for value in (foreign, absent, "nonsense", new_id("ses"), "%2A", "a" * 128):
        answer = await here.api("GET", f"{path}?{name}={value}", x_request_id="same")
        answers.append((answer.status, answer.raw))
        FIGURES["isolation cells, query"] += 1
    assert answers == [answers[0]] * len(answers)
    assert answers[0][0] == 200
    assert there.word.encode() not in answers[0][1]
    assert (await there.api("GET", f"{path}?{name}={foreign}")).raw != answers[0][1]


def body_for(call: str, here: SampleTenant) -> tuple[str, dict[str, Any]]:
    ids = here.ids
    match call:
        case "create_organization":
            return ORGANIZATIONS, {"name": "New"}
        case "add_member":
            return f"{ORGANIZATIONS}/{ids['org']}/members", {}
    return f"{USERS}/{ids['usr']}/sessions", {"project_id": ids["prj"]}


@pytest.mark.parametrize(("call", "name", "prefix"), BODIES)
async def test_a_foreign_identifier_in_a_body_is_refused_as_an_absent_one(
    here: SampleTenant, there: SampleTenant, call: str, name: str, prefix: str
) -> None:
    path, body = body_for(call, here)
    answers = []
    for value in (there.ids[prefix], new_id(prefix), here.ids["ses"], "nonsense"):
        answer = await here.api("POST", path, body | {name: value}, x_request_id="same")
        assert (answer.status, answer.body["code"]) == (422, "validation_failed"), answer.raw
        assert [error["field"] for error in answer.body["errors"]] == [name]
        answers.append({**answer.body, "trace_id": ""})
        FIGURES["isolation cells, body"] += 1
    assert answers[0] == answers[1]


async def test_names_are_taken_within_a_tenant_only(
    here: SampleTenant, there: SampleTenant
) -> None:
    word = there.word
    for path, body in (
        ("/v1/admin/projects", {"name": "x", "slug": f"{word}-0"}),
        (ORGANIZATIONS, {"name": "x", "slug": f"{word}-0"}),
        (
            USERS,
            {
                "email": f"{word}.0@example.com",
                "username": f"{word}-0",
                "external_id": f"{word}/0",
            },
        ),
    ):
        mine = await here.api("POST", path, body)
        assert mine.status == 201, mine.raw
        assert (await there.api("POST", path, body)).status == 409
        assert (await here.api("DELETE", mine.headers["Location"])).status == 204


async def test_keys_and_tokens_of_another_tenant_verify_as_nonsense(
    here: SampleTenant, there: SampleTenant
) -> None:
    path = "/v1/api-keys/verify"
    keys = [*(s for s in there.secrets.values() if s.startswith("tnt_")), new_secret("live"), "x"]
    answers = [await here.api("POST", path, {"secret": secret}) for secret in keys]
    assert {each.raw for each in answers} == {b'{"valid":false,"code":"not_found","key":null}'}
    token = there.secrets["session token"]
    path = "/v1/sessions/verify"
    answers = [await here.api("POST", path, {"token": each}) for each in (token, "a.b.c", "x")]
    nothing = b'{"valid":false,"code":"invalid","claims":null,"session":null}'
    assert {each.raw for each in answers} == {nothing}
    assert (await there.api("POST", path, {"token": token})).body["valid"] is True
    FIGURES["isolation cells, body"] += len(keys) + 3


async def test_an_idempotency_key_of_one_tenant_is_free_in_another(
    here: SampleTenant, there: SampleTenant
) -> None:
    key = new_id("req")
    bodies = [{"name": "A", "metadata": {"whose": "here"}}, {"name": "B"}]
    for tenant, body in zip((here, there), bodies, strict=True):
        answer = await tenant.api("POST", ORGANIZATIONS, body, idempotency_key=key)
        assert (answer.status, answer.body["name"]) == (201, body["name"])
        assert "Idempotent-Replayed" not in answer.headers
        assert (await tenant.api("DELETE", answer.headers["Location"])).status == 204


@pytest.mark.parametrize("header", ["X-Tenant-Id", "Tenant-Id", "X-Forwarded-User", "Tenantry-Tid"])
async def test_no_header_or_parameter_names_another_tenant(
    here: SampleTenant, there: SampleTenant, header: str
) -> None:
    named = Api(here.api.http, here.api.url, here.api.key, headers={header: there.api.tenant})
    who = await named("GET", "/v1/admin/tenant")
    assert who.body["tenant"]["id"] == here.api.tenant
    for query in (f"tenant_id={there.api.tenant}", f"tid={there.api.tenant}"):
        assert (await named("GET", f"{USERS}?{query}")).status == 422
    body = {"name": "x", "tenant_id": there.api.tenant}
    assert (await named("POST", ORGANIZATIONS, body)).status == 422
