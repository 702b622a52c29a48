"""Who gets in, for how long, and what a page of another site cannot do."""

import re
import time
from types import SimpleNamespace

import httpx
import pytest
from chassis.encryption import Keyring
from console import sign_in as sessions_module
from console.sign_in import Sessions
from redis.asyncio import Redis
from support.stack import Stack
from support.waiting import until

TOKEN = re.compile(r'name="form_token" value="([^"]+)"')


def link_of(stack: Stack) -> str:
    found = re.search(r"http://\S+/sign-in\?link=\S+", stack.output)
    assert found, stack.output
    return found[0]


async def test_the_link_of_dev_signs_in_once(stack: Stack) -> None:
    async with httpx.AsyncClient() as client:
        first = await client.get(link_of(stack))
        assert (first.status_code, first.headers["location"]) == (303, "/")
        assert first.headers["set-cookie"].endswith("HttpOnly; Path=/; SameSite=strict")
        page = await client.get(first.url.join("/"))
        assert (page.status_code, "Demo" in page.text) == (200, True)
    async with httpx.AsyncClient() as client:
        second = await client.get(link_of(stack))
        assert (second.status_code, "was used before" in second.text) == (401, True)
        assert "set-cookie" not in second.headers


@pytest.mark.parametrize("key", ["", "tnt_live_nonsense", "nonsense", "schlüssel", "a" * 5000])
async def test_a_wrong_key_gets_one_message(console: str, key: str) -> None:
    async with httpx.AsyncClient(base_url=console) as client:
        refused = await client.post("/sign-in", data={"key": key})
    assert refused.status_code == 401
    assert "This key does not work" in refused.text
    assert key not in refused.text or not key


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/\n/evil"]
)
async def test_signing_in_leads_nowhere_else(console: str, stack: Stack, target: str) -> None:
    async with httpx.AsyncClient(base_url=console) as client:
        data = {"key": stack.ready["api_key"], "next": target}
        assert (await client.post("/sign-in", data=data)).headers["location"] == "/"


async def test_a_page_leads_to_the_sign_in_and_back(console: str, stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=console) as client:
        refused = await client.get("/users?status=active")
        assert refused.headers["location"] == "/sign-in?next=%2Fusers%3Fstatus%3Dactive"
        data = {"key": stack.ready["api_key"], "next": "/users?status=active"}
        back = await client.post("/sign-in", data=data)
        assert back.headers["location"] == "/users?status=active"


async def test_signing_out_ends_the_session(http: httpx.AsyncClient) -> None:
    page = await http.get("/")
    cookies = dict(http.cookies)
    out = await http.post("/sign-out", data={"form_token": TOKEN.findall(page.text)[0]})
    assert out.headers["location"] == "/sign-in"
    async with httpx.AsyncClient(base_url=http.base_url, cookies=cookies) as thief:
        assert (await thief.get("/users")).headers["location"].startswith("/sign-in")


async def test_a_session_ends_when_it_is_idle_and_after_its_longest_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.time()
    monkeypatch.setattr(sessions_module, "time", SimpleNamespace(time=lambda: now))
    sessions = Sessions(Keyring({"k": bytes(32)}), None)
    _, begun = await sessions.begin("key", "key_1", ("ten_1", "Acme"), ["*"])
    cookie = begun
    for _ in range(24):  # 8 hours, never idle for longer than 20 minutes
        found = await sessions.find(cookie)
        assert found is not None
        cookie = found[1]
        now += 20 * 60
    assert await sessions.find(begun) is None, "idle"
    now += 1
    assert await sessions.find(cookie) is None, "8 hours are over"


async def test_a_revoked_key_signs_out(console: str, api: httpx.AsyncClient, stack: Stack) -> None:
    project = (await api.post("/v1/admin/projects", json={"name": "Revoked"})).json()["id"]
    path = f"/v1/admin/projects/{project}/api-keys"
    key = (await api.post(path, json={"name": "k", "scopes": ["users:read"]})).json()
    async with httpx.AsyncClient(base_url=console) as client:
        await client.post("/sign-in", data={"key": key["secret"]})
        assert (await client.get("/users")).status_code == 200
        assert (await api.delete(f"{path}/{key['id']}")).status_code == 204

        async def signed_out() -> bool:
            return (await client.get("/users")).status_code == 303

        await until(signed_out)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
    ids=str,
)
async def test_another_site_changes_nothing(
    http: httpx.AsyncClient, api: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    page = await http.get("/users/new")
    form = {"email": "forged@example.com", "form_token": TOKEN.findall(page.text)[0]}
    assert (await http.post("/users/new", data=form, headers=headers)).status_code == 403
    without = {"email": "forged@example.com"}
    assert (await http.post("/users/new", data=without)).status_code == 403
    wrong = {**form, "form_token": "x"}
    assert (await http.post("/users/new", data=wrong)).status_code == 403
    found = await api.get("/v1/admin/users", params={"email": "forged@example.com"})
    assert found.json()["pagination"]["total"] == 0


async def test_a_stranger_cannot_fill_the_console(console: str) -> None:
    async with httpx.AsyncClient(base_url=console) as client:
        long = await client.post("/sign-in", data={"key": "a" * 1_000_000})
        many = await client.post("/sign-in", files={"key": b"a" * 1_000_000})
        file = await client.post("/users/import", files={"file": b"a" * 1_000_000})
    assert [long.status_code, many.status_code, file.status_code] == [413, 413, 303]


async def test_a_get_changes_nothing(http: httpx.AsyncClient) -> None:
    assert (await http.get("/sign-out")).status_code == 405


async def test_nothing_of_a_page_is_kept_or_framed(http: httpx.AsyncClient) -> None:
    page = await http.get("/users")
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["x-content-type-options"] == "nosniff"
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


async def test_no_key_is_readable_in_redis(stack: Stack, http: httpx.AsyncClient) -> None:
    import psutil

    environment = psutil.Process(stack.ready["processes"]["console"]).environ()
    redis = Redis.from_url(environment["TENANTRY_REDIS_URL"])
    names = [name async for name in redis.scan_iter("console:*")]
    values = [await redis.get(name) for name in names]
    await redis.aclose()
    assert values
    cookie = next(iter(http.cookies.values())).removeprefix("r.")
    kept = b" ".join([*names, *values])
    assert cookie.encode() not in kept
    assert stack.ready["api_key"].encode() not in kept
