"""The demo tenant: made once per data folder, found again by every later start."""

import json
import secrets as randomness

from tenantry.keys import Secrets
from tenantry.loopback import Answer, request
from tenantry.problems import CannotStart


async def ensure_demo(port: int, secrets: Secrets) -> str | None:
    """Fill `secrets.demo`. Answers a line for the terminal when there can be no demo tenant."""
    try:
        return await _ensure(port, secrets)
    except OSError as error:
        raise CannotStart(f"the edge does not answer: {error}") from error


async def _ensure(port: int, secrets: Secrets) -> str | None:
    if secrets.demo.api_key is not None:
        if (await _who_am_i(port, secrets.demo.api_key)).status == 200:
            return None
        # Revoked or deleted since: the old answer must not be replayed.
        secrets.demo.api_key = secrets.demo.tenant_id = None
        secrets.demo.idempotency_key = randomness.token_urlsafe(16)
        secrets.save()
    made = await _create(port, secrets)
    if made.status == 409:
        return "the demo tenant exists, but its key is lost: use the operator key"
    if made.status != 201:
        raise CannotStart(
            f"the demo tenant was refused with {made.status}: {made.body.decode(errors='replace')}"
        )
    content = json.loads(made.body)
    secrets.demo.tenant_id = content["tenant"]["id"]
    secrets.demo.api_key = content["api_key"]["secret"]
    secrets.save()
    return None


async def _who_am_i(port: int, api_key: str) -> Answer:
    return await request("GET", port, "/v1/admin/tenant", {"Authorization": f"Bearer {api_key}"})


async def _create(port: int, secrets: Secrets) -> Answer:
    headers = {
        "Authorization": f"Bearer {secrets.operator_key}",
        "Idempotency-Key": secrets.demo.idempotency_key,
        "Content-Type": "application/json",
    }
    body = json.dumps({"name": "Demo", "slug": "demo"}).encode()
    return await request("POST", port, "/v1/admin/tenants", headers, body)
