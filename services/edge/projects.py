"""What the edge asks of the projects service, the owner of keys, on its own behalf."""

from dataclasses import replace

from chassis.request import Reply
from chassis.rpc.client import call_service
from contracts.calls import Call
from contracts.context import Context
from nats.aio.client import Client


class Projects:
    """Asks once there is a connection."""

    nats: Client

    async def ask(self, call: Call, context: Context, body: bytes = b"") -> Reply:
        """For a request, but without what it asks for itself. Raises Problem (503, 504)."""
        bare = replace(context, path={}, query=(), idempotency_key=None)
        return await call_service(self.nats, call, bare, body)
