"""The checking of credentials by itself: the edge's own, in front of an answer that costs nothing.

`python -m bench.checking`: /bare answers at once, /checked finds the caller first. The same server,
so that the difference is the check.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nats
import uvicorn
import uvloop
from contracts.context import Context
from edge.auth.api_key_usage import NO_TRACE
from edge.auth.credentials import Credentials
from edge.auth.principals import BearerCredential

from bench.product import Product, until
from bench.yardsticks import accepts, free_port


async def serve() -> None:
    """Until killed."""
    credentials = Credentials(os.environ["TENANTRY_OPERATOR_KEY"])
    url = os.environ["TENANTRY_NATS_URL"]
    client = await nats.connect(url, inbox_prefix=b"_INBOX_edge")
    credentials.connect(client)
    context = Context(request_id="bench", traceparent=NO_TRACE, deadline=2**33)
    start = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"2")],
    }

    async def app(scope: Any, _: Any, send: Any) -> None:
        if scope["path"] == "/checked":
            given = dict(scope["headers"])[b"authorization"].decode()
            credential = BearerCredential.from_header(given)
            await credentials.authenticate(credential, "127.0.0.1", context)
        await send(start)
        await send({"type": "http.response.body", "body": b"{}"})

    port = int(os.environ["BENCH_PORT"])
    config = uvicorn.Config(app, port=port, lifespan="off", access_log=False, log_level="warning")
    await uvicorn.Server(config).serve()


@asynccontextmanager
async def running(product: Product) -> AsyncIterator[str]:
    """Beside the product, with the environment of its edge; answers the URL."""
    port = free_port()
    environment = {**product.environment_of("edge"), "BENCH_PORT": str(port)}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.checking", env=environment
    )
    try:
        await until(lambda: accepts(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        child.kill()
        await child.wait()


if __name__ == "__main__":
    uvloop.run(serve())
