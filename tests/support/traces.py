"""All that a running product has written or shows, as bytes, each with where it stands."""

import os
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import psutil
from redis.asyncio import Redis

from support.api import Api
from support.stack import Stack

# Made for it: every password of the installation stands in one of these.
OWN_SECRETS = ("secrets.json", "running.json", "redis.conf", "ready.json")


def files(stack: Stack) -> Iterator[tuple[str, bytes]]:
    """Logs, the store of NATS, the dump of Redis, the very pages of PostgreSQL."""
    for path in sorted(stack.ready_file.parent.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.name not in OWN_SECRETS:
            try:
                yield str(path), path.read_bytes()
            except FileNotFoundError:
                continue  # a file of the running servers that is gone meanwhile


def guarded(stack: Stack) -> Iterator[tuple[Path, int]]:
    """Files of secrets, and the bits of others' access to them."""
    for path in stack.ready_file.parent.rglob("*"):
        if path.name in OWN_SECRETS:
            yield path, stat.S_IMODE(path.stat().st_mode) & 0o077


async def rows(stack: Stack) -> AsyncIterator[tuple[str, bytes]]:
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


async def redis(stack: Stack) -> AsyncIterator[tuple[str, bytes]]:
    """Every key with its fields; written to disk too, for `files`."""
    environment = psutil.Process(stack.ready["processes"]["edge"]).environ()
    client = Redis.from_url(environment["TENANTRY_REDIS_URL"])
    try:
        async for key in client.scan_iter():
            is_hash = await client.type(key) == b"hash"
            found = await (client.hgetall(key) if is_hash else client.get(key))
            yield f"redis {key!r}", key + repr(found).encode()
    finally:
        await client.aclose()


async def metrics(stack: Stack, anyone: Api) -> AsyncIterator[tuple[str, bytes]]:
    """/metrics and /health of every process."""
    for url in (stack.url, *(each["url"] for each in stack.ready["services"].values())):
        for path in ("/metrics", "/health"):
            answer = await Api(anyone.http, url)("GET", path)
            assert answer.status == 200
            yield url + path, answer.raw


def command_lines(stack: Stack) -> Iterator[tuple[str, bytes]]:
    """What `ps` shows of every process of the product to any user of the machine."""
    parent = psutil.Process(stack.process.pid)
    for process in (parent, *parent.children(recursive=True)):
        try:
            line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield f"process {process.pid}", os.fsencode(line)
