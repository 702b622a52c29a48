"""The yardsticks: the least that does the same physical work, without a line of ours.

    raw ASGI on uvicorn -> nats-py request -> nats-py subscriber -> one asyncpg statement -> bytes

as two processes, like the edge and a service: `python -m bench.yardsticks edge|service`. What is
read was written beforehand as bytes; what is written are the bytes of the request.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import nats
import uvicorn
import uvloop
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from bench.product import Product, until

DATABASE = "bench"
TABLES = """
CREATE TABLE IF NOT EXISTS documents (
  kind text COLLATE "C", id text COLLATE "C", body text NOT NULL, PRIMARY KEY (kind, id));
CREATE TABLE IF NOT EXISTS things (id text COLLATE "C" PRIMARY KEY, body text NOT NULL);
CREATE TABLE IF NOT EXISTS recorded (
  position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload text NOT NULL);
CREATE TABLE IF NOT EXISTS pulled (id text COLLATE "C" PRIMARY KEY, payload text NOT NULL);
"""
_ONE = "SELECT body FROM documents WHERE kind = $1 AND id = $2"
_PAGE = "SELECT body FROM documents WHERE kind = $1 AND id >= $2 ORDER BY id LIMIT 50"
_WRITE = """
WITH thing AS (INSERT INTO things (id, body) VALUES ($1, $2) RETURNING id)
INSERT INTO recorded (payload) SELECT $2 FROM thing
"""


async def _unchanged(_: asyncpg.Connection) -> None:
    """A connection goes back to the pool without the round trip of a reset."""


async def serve_edge() -> None:
    """GET and POST /<what>/<id>: passed on as they are; /bare is answered here."""
    client = await nats.connect(os.environ["BENCH_NATS_URL"])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        _, what, *rest = scope["path"].split("/")
        if what == "bare":
            answer = b"{}"
        else:
            body = (await receive())["body"] if scope["method"] == "POST" else b""
            headers = {"id": rest[0]} if rest else None
            answer = (await client.request(f"bench.{what}", body, 2, headers=headers)).data
        length = str(len(answer)).encode()
        headers_out = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers_out})
        await send({"type": "http.response.body", "body": answer})

    port = int(os.environ["BENCH_PORT"])
    config = uvicorn.Config(app, port=port, lifespan="off", access_log=False, log_level="warning")
    await uvicorn.Server(config).serve()


async def serve_service() -> None:
    """Answers until killed, a task for each message."""
    client = await nats.connect(os.environ["BENCH_NATS_URL"])
    pool = await asyncpg.create_pool(
        os.environ["BENCH_DATABASE_URL"], min_size=0, max_size=10, reset=_unchanged
    )
    tasks = set()

    async def read(msg: Msg, what: str) -> bytes:
        async with pool.acquire() as conn:
            body: str = await conn.fetchval(_ONE, what, (msg.headers or {})["id"])
        return body.encode()

    async def page(msg: Msg, what: str) -> bytes:
        async with pool.acquire() as conn:
            rows = await conn.fetch(_PAGE, what, (msg.headers or {})["id"])
        return b'{"rows":[' + ",".join([row["body"] for row in rows]).encode() + b"]}"

    async def here(_: Msg, __: str) -> bytes:
        return b""

    async def write(msg: Msg, _: str) -> bytes:
        async with pool.acquire() as conn:
            await conn.execute(_WRITE, (msg.headers or {})["id"], msg.data.decode())
        return msg.data

    async def hear(what: str, run: Callable[[Msg, str], Awaitable[bytes]]) -> None:
        async def handle(msg: Msg) -> None:
            await client.publish(msg.reply, await run(msg, what))

        async def accept(msg: Msg) -> None:
            task = asyncio.create_task(handle(msg))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        await client.subscribe(f"bench.{what}", cb=accept)

    await hear("organization", read)
    await hear("write", write)
    for what in ("users", "members", "audit"):
        await hear(what, page)
    await hear("here", here)  # the last one, so that the others are there too
    await asyncio.Event().wait()


@asynccontextmanager
async def running(product: Product) -> AsyncIterator[str]:
    """Both processes beside the product, on its PostgreSQL and NATS; answers their URL."""
    async with product.database("postgres") as conn:
        if not await conn.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await conn.execute(f"CREATE DATABASE {DATABASE}")
    async with product.database(DATABASE) as conn:
        await conn.execute(TABLES)
    port = free_port()
    environment = {
        **os.environ,
        "BENCH_NATS_URL": product.nats_url,
        "BENCH_DATABASE_URL": product.superuser(DATABASE),
        "BENCH_PORT": str(port),
    }
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.yardsticks", role, env=environment
        )
        for role in ("service", "edge")
    ]
    try:
        await until(lambda: accepts(port))
        await until(lambda: _is_heard(product))
        yield f"http://127.0.0.1:{port}"
    finally:
        for child in children:
            child.kill()
            await child.wait()


async def _is_heard(product: Product) -> bool:
    client = await nats.connect(product.nats_url)
    try:
        await client.request("bench.here", timeout=1)
    except NatsError:
        return False
    finally:
        await client.close()
    return True


async def accepts(port: int) -> bool:
    """Whether somebody listens."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


if __name__ == "__main__":
    uvloop.run({"edge": serve_edge, "service": serve_service}[sys.argv[1]]())
