"""The calls that the edge makes to the projects service, the owner of API keys, for itself."""

from dataclasses import replace

from chassis.request import Reply
from chassis.rpc.client import call_service
from contracts.calls import Call
from contracts.context import Context
from nats.aio.client import Client


class ProjectsClient:
    """Works once `nats` is set."""

    nats: Client

    async def call(
        self, call: Call, context: Context, body: bytes = b"", path: dict[str, str] | None = None
    ) -> Reply:
        """Calls in the context of a request, without its own path, query and idempotency key.

        Raises Problem (503, 504).
        """
        bare = replace(context, path=path or {}, query=(), idempotency_key=None)
        return await call_service(self.nats, call, bare, body)
