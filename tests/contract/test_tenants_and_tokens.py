"""Section 2 of the contract: tenants, who am I, tokens."""

from urllib.parse import urlencode

from support.api import Answer, Api
from support.waiting import until

FORM = "application/x-www-form-urlencoded"


async def token(anyone: Api, **form: str) -> Answer:
    return await anyone("POST", "/v1/auth/token", data=urlencode(form).encode(), content_type=FORM)


async def root(api: Api) -> str:
    return (await api("GET", "/v1/admin/tenant")).body["credential"]["id"]


async def test_a_token_stands_for_its_key(api: Api, anyone: Api) -> None:
    client = {"client_id": await root(api), "client_secret": api.key or ""}
    made = await token(anyone, grant_type="client_credentials", scope="users:read", **client)
    assert (made.status, made.body["token_type"], made.body["scope"]) == (
        200, "Bearer", "users:read",
    )  # fmt: skip
    assert 0 < made.body["expires_in"] <= 900
    narrow = anyone.as_key(made.body["access_token"])
    assert (await narrow("GET", "/v1/admin/users")).status == 200
    assert (await narrow("GET", "/v1/admin/projects")).status == 403
    who = await narrow("GET", "/v1/admin/tenant")
    assert who.body["credential"]["type"] == "access_token"
    assert who.body["credential"]["scopes"] == ["users:read"]


async def test_what_is_wrong_with_a_token_request_is_said(api: Api, anyone: Api) -> None:
    client = {"client_id": await root(api), "client_secret": api.key or ""}
    for form, status, error in (
        ({"grant_type": "password", **client}, 400, "unsupported_grant_type"),
        (client, 400, "invalid_request"),
        ({"grant_type": "client_credentials"}, 401, "invalid_client"),
        ({"grant_type": "client_credentials", **client, "client_secret": "x"}, 401,
         "invalid_client"),
        ({"grant_type": "client_credentials", **client, "scope": "root"}, 400, "invalid_scope"),
    ):  # fmt: skip
        answer = await token(anyone, **form)
        assert (answer.status, answer.body["error"]) == (status, error), answer.raw


async def test_a_suspended_tenant_is_refused_at_once(api: Api, operator: Api) -> None:
    path = f"/v1/admin/tenants/{api.tenant}"
    assert (await operator("PATCH", path, {"status": "suspended"})).status == 200
    refused = await api("GET", "/v1/admin/users")
    assert (refused.status, refused.body["code"]) == (403, "tenant_suspended")
    assert (await operator("PATCH", path, {"status": "active"})).status == 200
    assert (await api("GET", "/v1/admin/users")).status == 200


async def test_the_operator_changes_the_quotas_of_a_tenant(api: Api, operator: Api) -> None:
    made = await operator("POST", "/v1/admin/tenants", {"name": "Small", "quotas": {"webhooks": 1}})
    small = api.as_key(made.body["api_key"]["secret"])
    body = {"url": "https://hooks.example.com/in", "events": ["*"]}
    assert (await small("POST", "/v1/admin/webhooks", body)).status == 201
    refused = await small("POST", "/v1/admin/webhooks", body)
    assert (refused.status, refused.body["code"], refused.body["limit"]) == (
        409, "quota_exceeded", 1,
    )  # fmt: skip
    path = f"/v1/admin/tenants/{made.body['tenant']['id']}"
    assert (await operator("PATCH", path, {"quotas": {"webhooks": 2}})).status == 200

    async def create() -> bool:
        return (await small("POST", "/v1/admin/webhooks", body)).status == 201

    await until(create)
    assert (await operator("DELETE", path)).status in (202, 204)  # 202: services are still at it


async def test_a_tenant_sees_and_names_itself_alone(api: Api, operator: Api) -> None:
    own = f"/v1/admin/tenants/{api.tenant}"
    assert (await api("PATCH", own, {"name": "Renamed"})).body["name"] == "Renamed"
    assert (await api("PATCH", own, {"status": "suspended"})).status == 403
    other = (await operator("GET", "/v1/admin/tenants?limit=200")).body["tenants"]
    for tenant in other:
        if tenant["id"] != api.tenant:
            assert (await api("GET", f"/v1/admin/tenants/{tenant['id']}")).status == 404
    assert (await api("GET", "/v1/admin/tenants")).status == 403
    assert (await operator("GET", "/v1/admin/users")).status == 403


async def test_a_key_never_makes_a_stronger_one(api: Api) -> None:
    project = await api("POST", "/v1/admin/projects", {"name": "P"})
    path = f"/v1/admin/projects/{project.body['id']}/api-keys"
    made = await api("POST", path, {"name": "k", "scopes": ["api_keys:write", "users:read"]})
    weak = api.as_key(made.body["secret"])
    assert (await weak("POST", path, {"name": "x", "scopes": ["users:read"]})).status == 201
    for scope in ("users:write", "*"):
        refused = await weak("POST", path, {"name": "x", "scopes": [scope]})
        assert (refused.status, refused.body["code"]) == (403, "insufficient_scope")
