"""Section 4 of the contract: tokens that anybody verifies by the key set, whatever keys rotate."""

import asyncio
from typing import Any

import jwt
import pytest
from jwt import PyJWKClient
from support.api import Api
from support.waiting import until


async def _begin(api: Api, project: str, email: str = "ada@example.com") -> dict[str, Any]:
    made = await api("POST", "/v1/admin/users", {"email": email})
    path = f"/v1/admin/users/{made.body['id']}/sessions"
    begun = await api("POST", path, {"project_id": project})
    assert begun.status == 201, begun.raw
    assert begun.headers["Location"] == f"{path}/{begun.body['session']['id']}"
    return dict(begun.body)


async def _refreshed(api: Api, token: str) -> dict[str, Any]:
    fresh = await api.as_key(None)("POST", "/v1/sessions/refresh", {"refresh_token": token})
    assert fresh.status == 200, fresh.raw
    return dict(fresh.body)


async def _code(api: Api, token: str) -> str:
    verdict = await api("POST", "/v1/sessions/verify", {"token": token})
    assert verdict.status == 200, verdict.raw
    return str(verdict.body["code"])


class Backend:
    """A customer's own: PyJWT with the address of the key set, and nothing else of ours."""

    def __init__(self, api: Api, project: str) -> None:
        self.project = project
        url = f"{api.url}/v1/projects/{project}/.well-known/jwks.json"
        self.client = PyJWKClient(url)
        self.fetched = 0
        fetch = self.client.fetch_data

        def counted() -> Any:
            self.fetched += 1
            return fetch()

        self.client.fetch_data = counted  # type: ignore[method-assign]

    async def read(self, token: str) -> dict[str, Any]:
        return await asyncio.to_thread(self._read, token)

    def _read(self, token: str) -> dict[str, Any]:
        key = self.client.get_signing_key_from_jwt(token)
        return jwt.decode(token, key, algorithms=["EdDSA", "ES256", "RS256"], audience=self.project)


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
async def test_tokens_verify_before_during_and_after_rotations(api: Api, algorithm: str) -> None:
    settings = {"signing_algorithm": algorithm}
    made = await api("POST", "/v1/admin/projects", {"name": "Web", "settings": settings})
    project, keys = made.body["id"], f"/v1/admin/projects/{made.body['id']}/signing-keys"
    begun = await _begin(api, project)
    backend = Backend(api, project)
    tokens, refresh_token = [begun["access_token"]], begun["refresh_token"]
    await backend.read(tokens[0])
    # The key that comes next stands in the set already: nobody has to ask for it again.
    assert (await api("POST", keys + "/rotate", {"force": True})).status == 201
    fresh = await _refreshed(api, refresh_token)
    tokens.append(fresh["access_token"])
    assert [(await backend.read(token))["tid"] for token in tokens] == [api.tenant] * 2
    assert backend.fetched == 1
    # Forced so soon, the third key was in no set that anybody had: who asks anew knows all three.
    assert (await api("POST", keys + "/rotate", {"force": True})).status == 201
    fresh = await _refreshed(api, fresh["refresh_token"])
    tokens.append(fresh["access_token"])
    assert len({jwt.get_unverified_header(token)["kid"] for token in tokens}) == 3
    late = Backend(api, project)
    for token in tokens:
        assert (await late.read(token))["sid"] == begun["session"]["id"]
        assert await _code(api, token) == "valid"
    assert (late.fetched, [bool(await backend.read(each)) for each in tokens[:2]]) == (
        1,
        [True] * 2,
    )


async def test_a_leaked_key_vouches_for_nothing_any_more(api: Api) -> None:
    made = await api("POST", "/v1/admin/projects", {"name": "Web"})
    project = made.body["id"]
    begun = await _begin(api, project)
    token = begun["access_token"]
    kid = jwt.get_unverified_header(token)["kid"]
    assert await _code(api, token) == "valid"
    await api("POST", f"/v1/admin/projects/{project}/signing-keys/{kid}/revoke", {})
    with pytest.raises(jwt.PyJWKClientError):
        await Backend(api, project).read(token)

    async def known() -> bool:
        return await _code(api, token) == "invalid"

    await until(known)
    fresh = await _refreshed(api, begun["refresh_token"])
    assert (await Backend(api, project).read(fresh["access_token"]))["pid"] == project
    assert await _code(api, fresh["access_token"]) == "valid"


async def test_use_shows_a_little_later(api: Api) -> None:
    made = await api("POST", "/v1/admin/projects", {"name": "Web"})
    begun = await _begin(api, made.body["id"])
    claims = await Backend(api, made.body["id"]).read(begun["access_token"])
    assert await _code(api, begun["access_token"]) == "valid"

    async def shown() -> bool:
        found = await api("GET", f"/v1/admin/users/{claims['sub']}")
        (session,) = found.body["sessions"]
        return bool(session["last_active_at"] > begun["session"]["last_active_at"])

    await until(shown)


async def test_a_reused_token_is_revoked_with_its_event(api: Api) -> None:
    made = await api("POST", "/v1/admin/projects", {"name": "Web"})
    begun = await _begin(api, made.body["id"])
    await _refreshed(api, begun["refresh_token"])
    body = {"refresh_token": begun["refresh_token"]}
    reused = await api.as_key(None)("POST", "/v1/sessions/refresh", body)
    assert (reused.status, reused.body["code"]) == (401, "unauthenticated")
    assert await _code(api, begun["access_token"]) == "revoked"

    async def recorded() -> Any:
        return (await api("GET", "/v1/admin/audit?action=session.revoked")).body["events"]

    (event,) = await until(recorded)
    assert (event["resource_id"], event["actor_type"]) == (begun["session"]["id"], "system")
    assert begun["refresh_token"].encode() not in (await api("GET", "/v1/admin/audit")).raw


async def test_a_lost_answer_is_had_again_by_its_key(api: Api) -> None:
    made = await api("POST", "/v1/admin/projects", {"name": "Web"})
    begun = await _begin(api, made.body["id"])
    body, anyone = {"refresh_token": begun["refresh_token"]}, api.as_key(None)
    first, again = [
        await anyone("POST", "/v1/sessions/refresh", body, idempotency_key="1") for _ in range(2)
    ]
    assert (first.status, again.status, again.raw) == (200, 200, first.raw)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await _code(api, first.body["access_token"]) == "valid"
