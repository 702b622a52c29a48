"""The matrix of endpoints and scopes, from the routes that the edge itself goes by."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from contracts.ids import new_id
from contracts.scopes import SCOPES, covers
from edge.auth import access
from edge.call_route import CallRoute
from edge.routers import ROUTES
from security.sample_tenant import FORM, made
from support.api import Answer, Api
from support.figures import FIGURES

SCOPED = [route for route in ROUTES if route.scopes]


@dataclass(frozen=True)
class Keyring:
    """A key for each scope alone, and an access token narrowed to it."""

    root: Api
    project: str
    keys: dict[str, Any]
    tokens: dict[str, str]

    def holders(self, scope: str) -> tuple[Api, Api]:
        return self.root.as_key(self.keys[scope]["secret"]), self.root.as_key(self.tokens[scope])


async def token_of(api: Api, client_id: str, secret: str, scope: str) -> Answer:
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    data = urlencode(form | {"scope": scope}).encode()
    return await api.as_key(None)("POST", "/v1/auth/token", data=data, content_type=FORM)


@pytest.fixture
async def ring(api: Api) -> Keyring:
    project = f"/v1/admin/projects/{(await made(api, '/v1/admin/projects', {'name': 'P'}))['id']}"
    root = (await api("GET", "/v1/admin/tenant")).body["credential"]["id"]
    keys, tokens = {}, {}
    for scope in SCOPES:
        body = {"name": scope, "scopes": [scope]}
        keys[scope] = await made(api, f"{project}/api-keys", body)
        token = await token_of(api, root, str(api.key), scope)
        assert token.status == 200, token.raw
        tokens[scope] = token.body["access_token"]
    return Keyring(api, project, keys, tokens)


def absent(route: CallRoute) -> str:
    ids = {name: new_id(prefix) for name, prefix in route.call.path.items()}
    return route.path.format(**ids)


async def knock(api: Api, route: CallRoute) -> Answer:
    """Asks in a way that changes nothing: of what is absent, or with a body that is refused."""
    data = None if route.method in ("GET", "DELETE") else b"[]"
    return await api(route.method, absent(route), data=data)


def test_every_scope_opens_something_and_every_door_has_a_scope() -> None:
    assert {scope for route in SCOPED for scope in route.scopes} == set(SCOPES) - {"*"}
    for route in SCOPED:
        reads = route.method == "GET" or route.path.endswith("/verify")
        (needed,) = route.scopes
        assert needed.endswith(":read" if reads else ":write"), route.call.name


async def test_a_scope_opens_its_own_doors_alone(ring: Keyring) -> None:
    failed = []
    for route in SCOPED:
        (needed,) = route.scopes
        for scope in SCOPES:
            for holder in ring.holders(scope):
                answer = await knock(holder, route)
                FIGURES["scope cells"] += 1
                if covers([scope], needed):
                    good = answer.status in (200, 404, 415, 422)
                else:
                    good = (answer.status, answer.body["code"], answer.body["scope"]) == (
                        403,
                        "insufficient_scope",
                        needed,
                    )
                if not good:
                    failed.append((route.call.name, scope, answer.status, answer.raw[:200]))
    assert not failed, failed


async def test_no_scope_of_a_tenant_is_the_operators(ring: Keyring) -> None:
    own = f"/v1/admin/tenants/{ring.root.tenant}"
    before = (await ring.root("GET", own)).body
    for scope in SCOPES:
        for holder in ring.holders(scope):
            for route in ROUTES:
                if route.access is not access.operator:
                    continue
                path = route.path.format(
                    **{name: new_id(p) for name, p in route.call.path.items()}
                    | ({"id": ring.root.tenant} if route.call.path else {})
                )
                answer = await holder(route.method, path)
                assert (answer.status, answer.body["code"]) == (403, "insufficient_scope")
                FIGURES["scope cells"] += 1
            for patch in ({"status": "suspended"}, {"slug": "mine"}, {"name": "Mine"}):
                answer = await holder("PATCH", own, patch)
                allowed = scope == "*" and "name" in patch
                assert answer.status == (200 if allowed else 403), answer.raw
            assert (await holder("GET", own)).status == 200
    after = (await ring.root("GET", own)).body
    assert (after["status"], after["slug"]) == (before["status"], before["slug"])


async def test_the_operator_has_no_tenant_to_look_into(operator: Api) -> None:
    for route in ROUTES:
        if route.access is not access.tenant:
            continue
        answer = await knock(operator, route)
        assert (answer.status, answer.body["code"]) == (403, "insufficient_scope"), answer.raw
        FIGURES["scope cells"] += 1


async def test_a_key_makes_none_that_is_stronger(ring: Keyring) -> None:
    path = f"{ring.project}/api-keys"
    for holder in ring.holders("api_keys:write"):
        for wanted in SCOPES:
            for scopes in ([wanted], sorted({"api_keys:write", wanted})):
                answer = await holder("POST", path, {"name": "made", "scopes": scopes})
                allowed = wanted == "api_keys:write"
                assert answer.status == (201 if allowed else 403), answer.raw
                FIGURES["scope cells"] += 1
    listed = await ring.root("GET", f"{path}?limit=200")
    made_here = [key for key in listed.body["api_keys"] if key["name"] == "made"]
    assert {tuple(key["scopes"]) for key in made_here} == {("api_keys:write",)}


async def test_a_key_rotates_none_that_is_stronger(ring: Keyring) -> None:
    for scope, key in ring.keys.items():
        path = f"{ring.project}/api-keys/{key['id']}/rotate"
        for holder in reversed(ring.holders("api_keys:write")):
            if scope == "api_keys:write":
                continue
            answer = await holder("POST", path, {"overlap": 60})
            assert (answer.status, answer.body["code"]) == (403, "insufficient_scope")
            FIGURES["scope cells"] += 1


async def test_a_token_is_no_stronger_than_its_key(ring: Keyring) -> None:
    key = ring.keys["users:read"]
    for scope in SCOPES:
        answer = await token_of(ring.root, key["id"], key["secret"], scope)
        assert answer.status == (200 if scope == "users:read" else 400), answer.raw
        FIGURES["scope cells"] += 1
    for wanted in ("users:read *", "users:read users:write", "users:read\tnonsense"):
        answer = await token_of(ring.root, key["id"], key["secret"], wanted)
        assert (answer.status, answer.body["error"]) == (400, "invalid_scope")
    wrong_id = await token_of(ring.root, ring.keys["*"]["id"], key["secret"], "")
    assert (wrong_id.status, wrong_id.body["error"]) == (401, "invalid_client")


async def test_no_repeat_hands_a_weaker_key_the_answer_of_a_stronger_one(ring: Keyring) -> None:
    """Idempotency keys are the tenant's: who repeats one must be allowed what it answers."""
    path, body = f"{ring.project}/api-keys", {"name": "all", "scopes": ["*"]}
    first = await ring.root("POST", path, body, idempotency_key="guess-me")
    assert first.status == 201
    for holder in ring.holders("api_keys:write"):
        repeat = await holder("POST", path, body, idempotency_key="guess-me")
        assert first.body["secret"].encode() not in repeat.raw
        assert (repeat.status, repeat.body["code"]) == (422, "idempotency_key_reused")
    again = await ring.root("POST", path, body, idempotency_key="guess-me")
    assert again.raw == first.raw
