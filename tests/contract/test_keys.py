"""Section 3 of the contract: API keys, root keys and signing keys as their callers see them."""

from typing import Any

from contracts.secrets import new_secret
from support.api import Api


async def new_project(api: Api, **fields: Any) -> str:
    made = await api("POST", "/v1/admin/projects", {"name": "Shop", **fields})
    assert made.status == 201, made.raw
    return f"/v1/admin/projects/{made.body['id']}"


async def new_key(api: Api, project: str, **fields: Any) -> dict[str, Any]:
    body = {"name": "k", "scopes": ["users:read"], **fields}
    made = await api("POST", f"{project}/api-keys", body)
    assert made.status == 201, made.raw
    return dict(made.body)


async def test_a_leaked_root_key_is_replaced_by_the_operator(api: Api, operator: Api) -> None:
    keys = f"/v1/admin/tenants/{api.tenant}/root-keys"
    fresh = await operator("POST", keys, {}, idempotency_key=f"leak-{api.tenant}")
    assert (fresh.status, fresh.headers["Location"]) == (201, keys)
    again = await operator("POST", keys, {}, idempotency_key=f"leak-{api.tenant}")
    assert again.raw == fresh.raw, "a secret is shown again by a replay alone"
    who = await api("GET", "/v1/admin/tenant")
    leaked = who.body["credential"]["id"]
    assert [each["id"] for each in who.body["root_keys"]] == [leaked, fresh.body["id"]]
    assert fresh.body["secret"].encode() not in who.raw
    listed = await operator("GET", keys)
    assert [each["id"] for each in listed.body["api_keys"]] == [fresh.body["id"], leaked]
    assert listed.body["pagination"]["total"] == 2
    assert (await operator("DELETE", f"{keys}/{leaked}")).status == 204
    assert (await operator("DELETE", f"{keys}/{leaked}")).status == 404
    assert (await api("GET", "/v1/admin/tenant")).status == 401
    renewed = api.as_key(fresh.body["secret"])
    assert (await renewed("GET", "/v1/admin/tenant")).status == 200
    last = await operator("DELETE", f"{keys}/{fresh.body['id']}")
    assert (last.status, last.body["code"]) == (409, "last_root_key")


async def test_root_keys_are_the_operators_alone(api: Api) -> None:
    keys = f"/v1/admin/tenants/{api.tenant}/root-keys"
    me = (await api("GET", "/v1/admin/tenant")).body["credential"]["id"]
    for method, path, body in (
        ("POST", keys, {}),
        ("GET", keys, None),
        ("DELETE", f"{keys}/{me}", None),
    ):
        refused = await api(method, path, body)
        assert (refused.status, refused.body["code"]) == (403, "insufficient_scope")


async def test_verification_tells_each_reason(api: Api) -> None:
    project = await new_project(api)
    key, dead = await new_key(api, project), await new_key(api, project)
    public = await new_key(api, project, type="publishable", scopes=[])
    await api("DELETE", f"{project}/api-keys/{dead['id']}")
    fresh = new_secret("test")
    for secret, scopes, code in (
        (key["secret"], ["users:read"], "valid"),
        (key["secret"], ["users:write"], "insufficient_scope"),
        (public["secret"], [], "valid"),
        (dead["secret"], [], "revoked"),
        (fresh, [], "not_found"),
        (fresh[:-1], [], "not_found"),
        ("nonsense", [], "not_found"),
    ):
        body = {"secret": secret, "scopes": scopes}
        said = await api("POST", "/v1/api-keys/verify", body)
        assert (said.status, said.body["code"]) == (200, code)
        assert said.body["valid"] is (code == "valid")
        assert (said.body["key"] is None) is (code == "not_found")
        assert secret not in said.raw.decode()


async def test_verification_needs_its_scope_and_a_secret(api: Api, anyone: Api) -> None:
    project = await new_project(api)
    key = await new_key(api, project)
    body = {"secret": key["secret"]}
    assert (await anyone("POST", "/v1/api-keys/verify", body)).status == 401
    refused = await api.as_key(key["secret"])("POST", "/v1/api-keys/verify", body)
    assert (refused.status, refused.body["scope"]) == (403, "api_keys:read")
    for wrong, field in (
        ({}, "secret"),
        ({"secret": 1}, "secret"),
        ({**body, "secret_sha256": "0" * 64}, "secret_sha256"),
        ({**body, "scopes": ["everything"]}, "scopes.0"),
    ):
        refused = await api("POST", "/v1/api-keys/verify", wrong)
        assert (refused.status, refused.body["errors"][0]["field"]) == (422, field)


async def test_a_publishable_key_calls_nothing(api: Api) -> None:
    key = await new_key(api, await new_project(api), type="publishable", scopes=[])
    for path in ("/v1/admin/users", "/v1/admin/tenant"):
        assert (await api.as_key(key["secret"])("GET", path)).status == 401


async def test_the_key_set_is_public_and_may_be_cached(api: Api, anyone: Api) -> None:
    project = await new_project(api, settings={"signing_algorithm": "ES256"})
    path = f"/v1/projects/{project.rsplit('/', 1)[-1]}/.well-known/jwks.json"
    found = await anyone("GET", path)
    assert found.status == 200
    assert {each["alg"] for each in found.body["keys"]} == {"ES256"}
    assert found.headers["Cache-Control"] == "public, max-age=300"
    same = await anyone("GET", path, if_none_match=found.headers["ETag"])
    assert (same.status, same.raw) == (304, b"")
    refused = await api("POST", f"{project}/signing-keys/rotate", {})
    assert (refused.status, refused.body["code"]) == (409, "rotation_too_soon")
    assert refused.body["earliest_safe_activation"].endswith("Z")
    ahead = {each["kid"] for each in found.body["keys"]}
    rotated = await api("POST", f"{project}/signing-keys/rotate", {"force": True})
    assert rotated.status == 201
    assert rotated.body["id"] in ahead
    changed = await anyone("GET", path, if_none_match=found.headers["ETag"])
    assert changed.status == 200
    assert ahead < {each["kid"] for each in changed.body["keys"]}
    await api("DELETE", project)
    assert (await anyone("GET", path)).status == 404
