"""Whatever secret was handed out is nowhere in clear: not written, not shown, not passed on."""

import base64
import hashlib
import json
import os
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
from contracts.topology import SERVICE_NAMES
from redis.asyncio import Redis
from security.sample_tenant import SampleTenant, made
from support.api import Api
from support.figures import FIGURES
from support.stack import Stack
from support.waiting import until
from support.webhook_receiver import webhook_receiver

# Made for it: every password of the installation stands in one of these.
OWN_SECRETS = ("secrets.json", "running.json", "redis.conf", "ready.json")


def files_of(stack: Stack) -> Iterator[tuple[str, bytes]]:
    """Logs, the store of NATS, the dump of Redis, the very pages of PostgreSQL."""
    for path in sorted(stack.ready_file.parent.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.name not in OWN_SECRETS:
            try:
                yield str(path), path.read_bytes()
            except FileNotFoundError:
                continue  # a file of the running servers that is gone meanwhile


def guarded_of(stack: Stack) -> Iterator[tuple[Path, int]]:
    """Files of secrets, and the bits of others' access to them."""
    for path in stack.ready_file.parent.rglob("*"):
        if path.name in OWN_SECRETS:
            yield path, stat.S_IMODE(path.stat().st_mode) & 0o077


async def rows_of(stack: Stack) -> AsyncIterator[tuple[str, bytes]]:
    """Every table of every service as text."""
    for service, url in stack.ready["databases"].items():
        connection = await asyncpg.connect(url)
        try:
            tables = await connection.fetch(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
            )
            for (table,) in tables:
                found = await connection.fetch(f'SELECT t::text FROM "{table}" AS t')
                yield f"{service}.{table}", "\n".join(row[0] for row in found).encode()
        finally:
            await connection.close()


async def redis_of(stack: Stack) -> AsyncIterator[tuple[str, bytes]]:
    """Every key with its fields; written to disk too, for `files_of`."""
    environment = psutil.Process(stack.ready["processes"]["edge"]).environ()
    client = Redis.from_url(environment["TENANTRY_REDIS_URL"])
    try:
        async for key in client.scan_iter():
            is_hash = await client.type(key) == b"hash"
            found = await (client.hgetall(key) if is_hash else client.get(key))
            yield f"redis {key!r}", key + repr(found).encode()
    finally:
        await client.aclose()


async def metrics_of(stack: Stack, anyone: Api) -> AsyncIterator[tuple[str, bytes]]:
    """/metrics and /health of every process."""
    for url in (
        stack.ready["management_url"],
        *(each["url"] for each in stack.ready["services"].values()),
    ):
        for path in ("/metrics", "/health"):
            answer = await Api(anyone.http, url)("GET", path)
            assert answer.status == 200
            yield url + path, answer.raw


def command_lines_of(stack: Stack) -> Iterator[tuple[str, bytes]]:
    """What `ps` shows of every process of the product to any user of the machine."""
    parent = psutil.Process(stack.process.pid)
    for process in (parent, *parent.children(recursive=True)):
        try:
            line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield f"process {process.pid}", os.fsencode(line)


def spellings(secret: str) -> dict[str, bytes]:
    """How it could stand there: as it is, by its end alone, encoded, by its plain digest."""
    raw = secret.encode()
    digest = hashlib.sha256(raw)
    return {
        "as it is": raw,
        "its end": raw[-24:],
        "in base64": base64.b64encode(raw).rstrip(b"=")[:-1],
        "in hexadecimal": raw.hex().encode(),
        "its digest": digest.hexdigest().encode(),
        "its digest, raw": digest.digest(),
    }


@pytest.fixture(scope="module")
async def handed_out(
    stack: Stack, here: SampleTenant, there: SampleTenant
) -> AsyncIterator[dict[str, str]]:
    """Every kind of secret there is, after each was used, misused, and died."""
    async with webhook_receiver() as receiver:
        secrets = {
            f"{name} of {who.word}": s for who in (here, there) for name, s in who.secrets.items()
        }
        api, ids = here.api, here.ids
        hook = await made(api, "/v1/admin/webhooks", {"url": receiver.url, "events": ["*"]})
        secrets["webhook secret of a receiver"] = hook["secret"]
        for path, body in (
            (f"/v1/admin/projects/{ids['prj']}/api-keys", {"name": "once", "scopes": ["*"]}),
            (f"/v1/admin/organizations/{ids['org']}/invitations", {"email": "once@example.com"}),
            (f"/v1/admin/users/{ids['usr']}/sessions", {"project_id": ids["prj"]}),
        ):
            first = await api("POST", path, body, idempotency_key=path)
            again = await api("POST", path, body, idempotency_key=path)
            assert (first.status, again.raw) == (201, first.raw)
            for word in ("secret", "token", "access_token", "refresh_token"):
                if word in first.body:
                    secrets[f"{word} of {path.rsplit('/', 1)[-1]}, repeated"] = first.body[word]
        rotated = await made_200(api, f"/v1/admin/webhooks/{ids['whk']}/rotate-secret")
        secrets["rotated webhook secret"] = rotated["secret"]
        key = await made(
            api, f"/v1/admin/projects/{ids['prj']}/api-keys", {"name": "dead", "scopes": ["*"]}
        )
        secrets["revoked key"] = key["secret"]
        gone = f"/v1/admin/projects/{ids['prj']}/api-keys/{key['id']}"
        assert (await api("DELETE", gone)).status == 204
        fresh = await api.as_key(None)(
            "POST", "/v1/sessions/refresh", {"refresh_token": there.secrets["refresh token"]}
        )
        secrets |= {name: fresh.body[name] for name in ("access_token", "refresh_token")}
        secrets["operator's key"] = str(stack.ready["operator_key"])
        for secret in list(secrets.values()):
            await misused(api, secret)

        async def heard() -> bool:
            return len(receiver.received) >= 5

        await until(heard)
        for sent in receiver.received:
            for name, secret in secrets.items():
                assert secret.encode() not in sent.body + str(sent.headers).encode(), name
        yield secrets


async def made_200(api: Api, path: str) -> dict[str, str]:
    answer = await api("POST", path)
    assert answer.status == 200, answer.raw
    return dict(answer.body)


async def misused(api: Api, secret: str) -> None:
    """Said where it does not belong: what is refused must not be remembered."""
    other = api.as_key(secret)
    answers = [
        await other("GET", "/v1/admin/tenants"),
        await other("DELETE", f"/v1/admin/users/{secret}"),
        await api("GET", f"/v1/admin/users?cursor={secret}"),
        await api("POST", "/v1/admin/organizations", {"name": 1, secret: secret}),
        await api("POST", "/v1/api-keys/verify", {"secret": secret, "scopes": [secret]}),
        await api("POST", "/v1/sessions/verify", {"token": secret}),
        await api.as_key(None)("POST", "/v1/invitations/accept", {"token": f"{secret}x"}),
        await api("PATCH", f"/v1/admin/{secret}"),
        await Api(api.http, api.url, headers={"Authorization": secret})("GET", "/v1/admin/users"),
    ]
    for answer in answers:
        assert answer.status < 500
        if answer.body and "errors" not in answer.body:
            assert secret.encode() not in answer.raw, answer.raw


def search(where: str, content: bytes, secrets: dict[str, str]) -> list[tuple[str, str, str]]:
    FIGURES["places searched for secrets"] += 1
    return [
        (name, how, where)
        for name, secret in secrets.items()
        for how, spelling in spellings(secret).items()
        if spelling in content
    ]


async def test_nothing_that_was_written_has_a_secret_in_it(
    stack: Stack, handed_out: dict[str, str], anyone: Api, here: SampleTenant, there: SampleTenant
) -> None:
    FIGURES["secrets searched for"] = len(handed_out)
    found = []
    # The search itself must find: a word that is no secret stands in files and rows.
    seen = {"files": 0, "rows": 0}
    for where, content in (*files_of(stack), *command_lines_of(stack)):
        found += search(where, content, handed_out)
        seen["files"] += here.word.encode() in content
    async for _, content in rows_of(stack):
        seen["rows"] += here.word.encode() in content
    assert seen["files"] > 0
    assert seen["rows"] > 3
    for source in (rows_of(stack), redis_of(stack), metrics_of(stack, anyone)):
        async for where, content in source:
            found += search(where, content, handed_out)
    for tenant in (here, there):
        for path in ("/v1/admin/audit/export", "/v1/admin/events?limit=1000"):
            answer = await tenant.api("GET", path)
            assert answer.status == 200
            found += search(path, answer.raw, handed_out)
    assert not found, found


def test_a_process_has_no_key_of_another_in_its_environment(stack: Stack) -> None:
    found: dict[str, dict[str, str]] = {}
    for name in ("edge", *SERVICE_NAMES):
        environment = psutil.Process(stack.ready["processes"][name]).environ()
        found[name] = {key: value for key, value in environment.items() if "_KEY" in key}
    assert {name: set(keys) for name, keys in found.items()} == {
        "edge": {"TENANTRY_OPERATOR_KEY", "TENANTRY_PROXY_KEY"},
        "audit": {"TENANTRY_HASH_KEYS"},
        **{
            name: {"TENANTRY_HASH_KEYS", "TENANTRY_ENCRYPTION_KEYS"}
            for name in ("identity", "projects", "webhooks")
        },
    }
    named = [value for keys in found.values() for value in keys.values()]
    values = [value.partition(":")[2] or value for value in named]
    assert len(values) == len(set(values)) == 9


async def test_the_installations_own_secrets_stand_in_files_of_their_owner_alone(
    stack: Stack, anyone: Api
) -> None:
    folder = stack.ready_file.parent / "data"
    assert folder.stat().st_mode & 0o077 == 0
    guarded = dict(guarded_of(stack))
    assert {path.name for path in guarded} >= {"secrets.json", "redis.conf"}
    assert set(guarded.values()) == {0}
    own = json.loads((folder / "secrets.json").read_text())
    secrets = {
        "operator's key": own["operator_key"],
        **{
            f"{name} of {service}": keys.partition(":")[2]
            for name in ("hash_keys", "encryption_keys")
            for service, keys in own[name].items()
        },
        "password of Redis": own["redis"],
        **{f"PostgreSQL {role}": word for role, word in own["postgres"].items()},
        **{f"NATS {user}": word for user, word in own["nats"].items()},
    }
    found = []
    for where, content in (*files_of(stack), *command_lines_of(stack)):
        found += [(name, where) for name, secret in secrets.items() if secret.encode() in content]
    async for where, content in metrics_of(stack, anyone):
        found += [(name, where) for name, secret in secrets.items() if secret.encode() in content]
    assert not found, found
