"""Messages that the edge receives: what makes credentials that it remembers invalid, and that the
keys of access tokens changed.
"""

from typing import Annotated

from contracts.topology import EDGE_LISTENS, TOKEN_KEYS_CHANGED
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


@router.subscriber(TOKEN_KEYS_CHANGED)
async def refresh_token_keys(credentials: Annotated[Credentials, Context()]) -> None:
    await credentials.tokens.keys.refresh()


for subject in EDGE_LISTENS:
    router.subscriber(subject)(forget_credentials)
