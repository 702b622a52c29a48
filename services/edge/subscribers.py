"""Events that the edge receives: a key or a tenant changed, so its cached credentials go."""

from typing import Annotated

from contracts.topology import EDGE_LISTENS
from faststream import Context
from faststream.nats import NatsRouter
from pydantic import BaseModel

from edge.auth.credentials import Credentials

router = NatsRouter()


class TenantChange(BaseModel):
    """The part of such an event that the edge reads; whatever else it has may change."""

    tenantid: str


async def forget_credentials(
    change: TenantChange, credentials: Annotated[Credentials, Context()]
) -> None:
    credentials.forget_tenant(change.tenantid)


for subject in EDGE_LISTENS:
    router.subscriber(subject)(forget_credentials)
