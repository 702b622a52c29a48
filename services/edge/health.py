"""Whether the edge can do its work: NATS and every service with its database; Redis if it can."""

from typing import Any

import orjson
from chassis.health import Health
from contracts.topology import SERVICE_NAMES, health_subject
from nats.aio.client import Client
from redis.asyncio import Redis


def watch_services(health: Health, nats: Client) -> None:
    """Each service is needed, and shown as it reports; one that is away leaves the edge ready."""
    for service in SERVICE_NAMES:
        health.add(service, _service_check(service, nats), ready=False)


def _service_check(service: str, nats: Client) -> Any:
    async def check() -> dict[str, Any]:
        msg = await nats.request(health_subject(service), b"", timeout=1)
        report = orjson.loads(msg.data)
        return {"status": report["status"], **report["checks"]}

    return check


def watch_redis(health: Health, redis: Redis | None) -> None:
    """Without Redis the edge goes on, limiting on its own."""

    async def check() -> None:
        if redis is None:
            raise ConnectionError("no Redis is configured")
        await redis.ping()

    health.add("redis", check, needed=False)
