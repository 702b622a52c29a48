"""Who makes a request, by which API key, and the credential that says so."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from contracts.context import ActorType
from contracts.problems import Problem
from contracts.secrets import digest

MAX_CREDENTIAL = 4096


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request and what they may do; `key_id` is None for the operator."""

    actor_type: ActorType
    tenant_id: str | None = None
    key_id: str | None = None
    scopes: tuple[str, ...] = ()
    credential: Any = None
    expires_at: str | None = None
    quotas: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_operator(self) -> bool:
        return self.actor_type == "operator"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as the projects service describes it: its principal, or why it is refused.

    `refusal` is `unknown` for what is no secret key of a living tenant, else a reason that is
    recorded for the tenant; `expires_at` in seconds since the epoch.
    """

    principal: Principal
    refusal: str | None
    expires_at: float
    is_previous: bool

    @classmethod
    def from_found(cls, found: Mapping[str, Any]) -> "ApiKey":
        """The key of a `FoundCredential`."""
        refusal = None
        if found["type"] != "secret" or found["tenant_status"] == "deleting":
            refusal = "unknown"
        elif found["status"] != "active":
            refusal = found["status"]
        elif found["tenant_status"] == "suspended":
            refusal = "tenant_suspended"
        expiry = found["expires_at"]
        expires_at = math.inf if expiry is None else datetime.fromisoformat(expiry).timestamp()
        scopes = tuple(found["scopes"])
        principal = Principal(
            "api_key",
            found["tenant_id"],
            found["key_id"],
            scopes,
            "api_key",
            expiry,
            found["quotas"],
        )
        return cls(principal, refusal, expires_at, found["previous"])


@dataclass(slots=True)
class BearerCredential:
    """The credential of a request, and the SHA-256 by which it is known."""

    value: str = field(repr=False)
    digest: str

    @classmethod
    def from_header(cls, authorization: str) -> "BearerCredential":
        """The credential of an Authorization header. Raises Problem (401)."""
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() != "bearer" or not value or len(value) > MAX_CREDENTIAL:
            raise unauthenticated()
        return cls(value, digest(value))


def unauthenticated() -> Problem:
    """One and the same answer, whatever is wrong with the credential."""
    return Problem(
        "unauthenticated",
        "Send `Authorization: Bearer <credential>` with a secret API key that is active, "
        "or an access token made for one.",
    )
