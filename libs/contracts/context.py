"""Who asks, in which request, by when: what travels beside every call and into every event."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

ActorType = Literal["user", "api_key", "operator", "system"]

CONTEXT_HEADER = "Tenantry-Context"
"""The NATS header that carries a `Context` as one line of JSON."""
REPLY_HEADER = "Tenantry-Reply"
"""The NATS header of an answer: JSON `{"status": 201, "headers": {"ETag": ...}}`."""


@dataclass(slots=True, kw_only=True)
class Context:
    """The circumstances of one request.

    `tenant_id` is None for the operator and for callers without a credential; `deadline` is
    seconds since the epoch; `path` the identifiers of the URL; `query` its decoded pairs in order;
    `quotas` are those that differ from `contracts.quotas`. `secret_version` says which secret of
    the API key `actor_id` the caller showed. `fresh`: not even a call that `may_lag` may.
    """

    tenant_id: str | None = None
    actor_type: ActorType = "system"
    actor_id: str | None = None
    scopes: tuple[str, ...] | list[str] = ()
    credential: Literal["api_key", "access_token"] | None = None
    credential_expires_at: str | None = None
    secret_version: int | None = None
    quotas: dict[str, int] = field(default_factory=dict)
    request_id: str
    traceparent: str
    ip_address: str | None = None
    user_agent: str | None = None
    path: dict[str, str] = field(default_factory=dict)
    query: Sequence[tuple[str, str]] = ()
    idempotency_key: str | None = None
    if_match: str | None = None
    fresh: bool = False
    deadline: float = 0.0

    @property
    def trace_id(self) -> str:
        """The 32 hexadecimal digits of the W3C trace."""
        return self.traceparent[3:35]

    def tenant(self) -> str:
        """The tenant that the credential decided; only for calls that need one."""
        assert self.tenant_id is not None, "the edge lets no call without a tenant reach this"
        return self.tenant_id
