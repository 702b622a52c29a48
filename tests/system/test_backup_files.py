"""What a restore refuses, what it does after a kill, and that it restores rights and guards too."""

import asyncio
import hashlib
import io
import json
import os
import signal
import sys
import tarfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from audit.checkpoints import Checkpoints
from chassis import migrations, streams
from chassis.database import open_pool
from contracts.ids import new_id
from contracts.topology import SERVICE_NAMES, STREAM
from support.long_trail import extend_trail
from support.owner import audit_settings
from support.stack import Ran, dev_stack, tenantry
from support.waiting import until
from tenantry.data_folder.secrets import Secrets
from tenantry.errors import CommandFailed
from tenantry.operations.backup import ORDER
from tenantry.operations.backup_file import CHECKSUMS, MANIFEST, open_backup
from tenantry.servers import Servers, backing_servers
from tenantry.servers.postgres_client import find_client
from tenantry.servers.postgres_url import libpq_environment, role_url

TENANT = new_id("ten")
_OUTBOX = """
INSERT INTO outbox (event_id, tenant_id, subject, payload, recorded_at, published_at)
SELECT 'evt_' || n, $1, 'tenantry.events.identity.user.created', '{}', past, past
  FROM generate_series(1, 3) AS n, (SELECT now() - interval '20 days' AS past)
"""
_INBOX = """
INSERT INTO inbox SELECT 'evt_' || n, now() - interval '20 days' FROM generate_series(1, 3) AS n
"""


@dataclass
class Source:
    """A backup, the secrets of its installation, and the schemas that it had."""

    file: Path
    secrets: Secrets
    schemas: dict[str, str]
    heads: list[asyncpg.Record]


def environment(servers: Servers) -> dict[str, str]:
    """By URLs, as docs/operating.md has them."""
    secrets = servers.secrets
    found = {"TENANTRY_NATS_ADMIN_URL": servers.nats_url("admin")}
    for service in SERVICE_NAMES:
        prefix = f"TENANTRY_{service.upper()}"
        found[f"{prefix}_MIGRATION_URL"] = servers.migration_url(service)
        found[f"{prefix}_HASH_KEYS"] = secrets.hash_keys[service]
        if service in secrets.encryption_keys:
            found[f"{prefix}_ENCRYPTION_KEYS"] = secrets.encryption_keys[service]
    return found


async def schema(servers: Servers, service: str) -> str:
    """Everything but rows: tables, owners, rights, functions, triggers; rights and settings of the
    database itself as well.
    """
    options = ("--schema-only", "--create", "--no-comments", "--restrict-key=key")
    process = await asyncio.create_subprocess_exec(
        *(str(find_client("pg_dump", 18)), *options),
        env=libpq_environment(servers.superuser_url) | {"PGDATABASE": service},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def schemas(servers: Servers) -> dict[str, str]:
    return {service: await schema(servers, service) for service in SERVICE_NAMES}


async def fetch(url: str, query: str) -> list[asyncpg.Record]:
    conn = await asyncpg.connect(url)
    try:
        return list(await conn.fetch(query))
    finally:
        await conn.close()


async def heads(servers: Servers) -> list[asyncpg.Record]:
    return await fetch(servers.migration_url("audit"), "SELECT * FROM heads ORDER BY tenant_id")


async def signed(servers: Servers) -> int:
    """The size of the checkpoint that audit signs, if the trail continues the one before."""
    owner = await asyncpg.connect(servers.migration_url("audit"))
    await owner.execute(
        "INSERT INTO pending_checkpoints VALUES ($1) ON CONFLICT DO NOTHING", TENANT
    )
    pool = await open_pool(servers.database_url("audit"), 1)
    try:
        checkpoints = Checkpoints(pool, audit_settings(servers), lambda: None)
        await checkpoints.sign_pending()
        assert checkpoints.doubted == {}
        return int(await owner.fetchval("SELECT size FROM signed_checkpoints"))
    finally:
        await owner.close()
        await pool.close()


@pytest.fixture(scope="module")
async def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Databases with a trail, and with an outbox and an inbox of three weeks ago."""
    folder = tmp_path_factory.mktemp("source")
    async with backing_servers(folder / "data", with_redis=False) as servers:
        for service in SERVICE_NAMES:
            await asyncio.to_thread(migrations.upgrade, service, servers.migration_url(service))
        await extend_trail(servers.migration_url("audit"), TENANT, 50)
        assert await signed(servers) == 50
        for service, query, values in (("identity", _OUTBOX, [TENANT]), ("audit", _INBOX, [])):
            conn = await asyncpg.connect(servers.migration_url(service))
            await conn.execute(query, *values)
            await conn.close()
        # What a backup leaves behind that was killed is in nobody's way.
        (folder / "backup.tmp").touch()
        (folder / "backup.dumps").mkdir()
        made = await tenantry("backup", str(folder / "backup"), "--json", **environment(servers))
        assert made.code == 0, made.err
        assert sorted(each.name for each in folder.iterdir()) == ["backup", "data"]
        again = await tenantry("backup", str(folder / "backup"), "--json", **environment(servers))
        assert (again.code, again.error["code"]) == (2, "misconfigured")
        return Source(
            folder / "backup", servers.secrets, await schemas(servers), await heads(servers)
        )


@pytest.fixture(scope="module")
async def target(
    source: Source, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Servers]:
    """Other servers, with the same keys."""
    folder = tmp_path_factory.mktemp("target")
    async with backing_servers(folder, with_redis=False) as servers:
        servers.secrets.hash_keys = source.secrets.hash_keys
        servers.secrets.encryption_keys = source.secrets.encryption_keys
        yield servers


async def restore(source: Source, target: Servers, *options: str, **more: str) -> Ran:
    """The services' own roles cannot connect before it is done."""
    return await tenantry(
        "restore", str(source.file), "--json", *options, **(environment(target) | more)
    )


async def is_untouched(target: Servers) -> bool:
    query = "SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    return not any([await fetch(target.migration_url(each), query) for each in SERVICE_NAMES])


async def test_a_backup_is_refused_with_other_keys(source: Source, target: Servers) -> None:
    other = target.secrets.hash_keys["audit"].replace("audit-1:", "audit-1:AAAA")
    for name, value in (
        ("TENANTRY_AUDIT_HASH_KEYS", other),
        ("TENANTRY_WEBHOOKS_ENCRYPTION_KEYS", target.secrets.encryption_keys["identity"]),
    ):
        ran = await restore(source, target, **{name: value})
        assert (ran.code, ran.error["code"]) == (1, "other_keys"), ran.err
    assert ran.error["keys"] == ["encryption key webhooks-1 of webhooks"]
    assert await is_untouched(target)


def altered(file: Path, change: Callable[[dict[str, bytes]], None], *, sums: bool) -> bytes:
    """The backup with another content; with `sums` its checksums are right again."""
    with tarfile.open(file) as tar:
        members = {each: tar.extractfile(each).read() for each in tar.getnames()}  # type: ignore[union-attr]
    change(members)
    if sums:
        members[CHECKSUMS] = "".join(
            f"{hashlib.sha256(content).hexdigest()}  {name}\n"
            for name, content in members.items()
            if name != CHECKSUMS
        ).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def manifest_with(**changed: object) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        members[MANIFEST] = json.dumps(json.loads(members[MANIFEST]) | changed).encode()

    return change


def refusal(file: Path) -> str:
    with pytest.raises(CommandFailed) as failed, open_backup(file, lambda _: None):
        pass
    return failed.value.code


def test_a_file_that_is_cut_altered_or_newer_is_refused(source: Source, tmp_path: Path) -> None:
    whole, file = source.file.read_bytes(), tmp_path / "backup"
    for size in (0, 100, 512, 5_000, len(whole) // 2, len(whole) - 12_000):
        file.write_bytes(whole[:size])
        assert refusal(file) in {"no_backup", "damaged_backup"}, size
    with tarfile.open(source.file) as tar:
        places = [
            each.offset_data + part for each in tar for part in (0, each.size // 2, each.size - 2)
        ]
    for place in places:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert refusal(file) == "damaged_backup", place
    for change, sums, code in (
        (lambda members: members.pop("audit.dump"), False, "damaged_backup"),
        (lambda members: members.pop("audit.dump"), True, "damaged_backup"),
        (lambda members: members.pop(CHECKSUMS), False, "damaged_backup"),
        (manifest_with(version="9"), False, "damaged_backup"),
        (manifest_with(format=2), True, "newer_backup"),
    ):
        file.write_bytes(altered(source.file, change, sums=sums))
        assert refusal(file) == code


async def test_a_backup_of_a_later_schema_is_refused(
    source: Source, target: Servers, tmp_path: Path
) -> None:
    manifest = json.loads(altered_manifest(source.file))
    manifest["databases"]["identity"]["revision"] = "9999"
    file = tmp_path / "backup"
    change = manifest_with(databases=manifest["databases"])
    file.write_bytes(altered(source.file, change, sums=True))
    ran = await tenantry("restore", str(file), "--json", **environment(target))
    assert (ran.code, ran.error["code"]) == (1, "newer_backup"), ran.err
    assert await is_untouched(target)


def altered_manifest(file: Path) -> bytes:
    with tarfile.open(file) as tar:
        content = tar.extractfile(MANIFEST)
        assert content is not None
        return content.read()


async def test_a_backup_has_no_secrets(source: Source) -> None:
    with open_backup(source.file, lambda _: None) as backup:
        text = json.dumps(backup.manifest.keys)
        for service in ORDER:
            process = await asyncio.create_subprocess_exec(
                *(str(find_client("pg_restore", 18)), "--file=-"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await process.communicate(b"".join(backup.blocks(service)))
            text += out.decode()
    secrets = source.secrets
    keys = [*secrets.hash_keys.values(), *secrets.encryption_keys.values()]
    wanted = [each.partition(":")[2] for each in keys]
    wanted += [*secrets.postgres.values(), *secrets.nats.values(), secrets.operator_key]
    assert "CREATE TABLE" in text
    assert not [each for each in wanted if each in text]


async def killed_at(line: str, source: Source, target: Servers) -> None:
    """SIGKILL as soon as it says that."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tenantry", "restore", str(source.file)),
        env={**os.environ, **environment(target)},
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert process.stderr is not None
    async for said in process.stderr:
        if said.decode().startswith(line):
            process.send_signal(signal.SIGKILL)
            break
    assert await process.wait() == -signal.SIGKILL


async def test_a_restore_that_was_killed_is_run_again_and_guards_are_there(
    source: Source, target: Servers
) -> None:
    for line in ("webhooks: ", "audit: ", "projects: statistics"):
        await killed_at(line, source, target)
        # Nothing can work on a part of a backup.
        with pytest.raises(asyncpg.PostgresError, match="permission denied for database"):
            await asyncpg.connect(target.database_url("projects"))
        migrated = await tenantry("migrate", "--json", **environment(target))
        assert (migrated.code, migrated.error["code"]) == (1, "restore_interrupted")
    done = await restore(source, target)
    assert done.code == 0, done.err
    assert await schemas(target) == source.schemas
    assert await heads(target) == source.heads
    # Outbox and inbox are of long ago; what is published again must still be known to the inbox.
    assert done.json["events"]["identity"] == 3
    purgeable = "SELECT FROM inbox WHERE heard_at < now() - interval '1 day'"
    assert await fetch(target.migration_url("audit"), purgeable) == []
    await assert_guarded(target)
    assert (await tenantry("migrate", **environment(target))).code == 0
    marks = await fetch(target.migration_url("audit"), "SELECT kind, sequence FROM marks")
    assert [tuple(mark) for mark in marks] == [("restored", 50)]
    await extend_trail(target.migration_url("audit"), TENANT, 10)
    assert await signed(target) == 60, "it continues the checkpoint that is in the backup"


async def assert_guarded(target: Servers) -> None:
    """The role of audit cannot change what is there, nor append what continues no chain."""
    conn = await asyncpg.connect(target.database_url("audit"))
    try:
        assert await conn.fetchval("SELECT count(*) FROM events") == 50
        for change in ("UPDATE events SET reason = 'x'", "DELETE FROM events", "TRUNCATE events"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute(change)
        row = dict(await conn.fetchrow("SELECT * FROM events ORDER BY sequence DESC LIMIT 1"))
        row["sequence"] += 2
        names, values = ", ".join(row), ", ".join(f"${n + 1}" for n in range(len(row)))
        with pytest.raises(asyncpg.PostgresError, match="does not continue"):
            await conn.execute(f"INSERT INTO events ({names}) VALUES ({values})", *row.values())
    finally:
        await conn.close()


async def test_what_is_there_is_replaced_only_when_told(source: Source, target: Servers) -> None:
    """It goes by what the test before has restored, and by a stream with an event."""
    await streams.bootstrap(target.nats_url("admin"))
    async with streams.connected(target.nats_url("admin")) as client:
        await client.jetstream().publish("tenantry.events.identity.user.created", b"{}")
    refused = await restore(source, target)
    assert (refused.code, refused.error["code"]) == (1, "not_empty"), refused.err
    assert "--replace" in refused.error["fix"]
    assert f"the stream {STREAM}" in refused.error["message"]
    superuser = await asyncpg.connect(target.superuser_url)
    await superuser.execute("CREATE ROLE identity_2 LOGIN PASSWORD 'rotated' IN ROLE identity")
    await superuser.close()
    second = role_url(target.superuser_url, "identity_2", "rotated", "identity")
    for url in (target.database_url("identity"), second):
        session = await asyncpg.connect(url)
        busy = await restore(source, target, "--replace")
        await session.close()
        assert (busy.code, busy.error["code"]) == (1, "in_use"), busy.err
    conn = await asyncpg.connect(target.migration_url("projects"))
    await conn.execute("CREATE TABLE later (id int)")
    await conn.close()
    done = await restore(source, target, "--replace")
    assert done.code == 0, done.err
    assert await schemas(target) == source.schemas
    async with streams.connected(target.nats_url("admin")) as client:
        assert [each.config.name for each in await client.jetstream().streams_info()] == []


async def test_a_folder_without_its_secrets_is_refused(source: Source, tmp_path: Path) -> None:
    ran = await tenantry("restore", str(source.file), "--json", f"--data={tmp_path}")
    assert (ran.code, ran.error["code"]) == (2, "misconfigured")
    assert "secrets.json" in ran.error["message"]
    assert not await asyncio.to_thread(os.listdir, tmp_path)


async def test_bare_servers_run_without_the_product_and_take_a_backup(
    source: Source, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    source.secrets.path = tmp_path / "data/secrets.json"
    source.secrets.save()
    with dev_stack(tmp_path, "--servers-only") as stack:

        async def run() -> bool:
            assert stack.process.poll() is None, stack.output
            return "The servers run" in stack.output

        await until(run, 60)
        assert stack.ready == {}
        commands = " ".join(" ".join(each.cmdline()) for each in stack.tree())
        assert "postgres" in commands
        assert "-m identity" not in commands
        done = await tenantry("restore", str(source.file), "--json", f"--data={stack.data}")
        assert done.code == 0, done.err
        made = await tenantry("backup", str(tmp_path / "b"), "--json", f"--data={stack.data}")
        assert made.code == 0, made.err
