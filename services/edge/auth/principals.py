"""Who makes a request, by which API key, and the credential that says so."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from contracts.context import ActorType
from contracts.problems import unauthenticated
from contracts.secrets import digest

MAX_CREDENTIAL = 4096


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request and what they may do; `key_id` is None for the operator, and `tenant_id`
    too unless it is a token of the operator for one tenant.

    `secret_version` says which secret of the key was shown.
    """

    actor_type: ActorType
    tenant_id: str | None = None
    key_id: str | None = None
    scopes: tuple[str, ...] = ()
    credential: Any = None
    expires_at: str | None = None
    secret_version: int | None = None
    quotas: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_operator(self) -> bool:
        """Whether it may do what the operator may: with a token for a tenant it may not."""
        return self.actor_type == "operator" and self.tenant_id is None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as the projects service describes it: its principal, or why it is refused.

    `refusal` is `unknown` for what is no secret key of a living tenant, else a reason that is
    recorded for the tenant; times in seconds since the epoch. `secret_version` is that of its
    newest secret; the one before that works until `previous_expires_at`.
    """

    principal: Principal
    refusal: str | None
    expires_at: float
    is_previous: bool
    secret_version: int
    previous_expires_at: float

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
        expiry, previous_expiry = found["expires_at"], found.get("previous_expires_at")
        version, is_previous = found.get("secret_version", 1), found["previous"]
        principal = Principal(
            actor_type="api_key",
            tenant_id=found["tenant_id"],
            key_id=found["key_id"],
            scopes=tuple(found["scopes"]),
            credential="api_key",
            expires_at=expiry,
            secret_version=version - is_previous,
            quotas=found["quotas"],
        )
        return cls(
            principal,
            refusal,
            math.inf if expiry is None else _seconds(expiry),
            is_previous,
            version,
            0.0 if previous_expiry is None else _seconds(previous_expiry),
        )

    def of_version(self, version: int | None) -> "ApiKey":
        """The same key as a caller has it who shows a secret of that version; a token of version
        0.1 does not say of which.
        """
        if version in (None, self.secret_version):
            return self
        if version == self.secret_version - 1:
            ends = min(self.expires_at, self.previous_expires_at)
            return replace(self, expires_at=ends, is_previous=True)
        return replace(self, refusal=self.refusal or "expired")


def _seconds(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()


@dataclass(slots=True)
class BearerCredential:
    """The credential of a request, and the SHA-256 by which it is known."""

    value: str = field(repr=False)
    digest: str

    @classmethod
    def from_header(cls, authorization: str) -> "BearerCredential":
        """The credential of an Authorization header. Raises Problem (401)."""
        scheme, _, value = authorization.partition(" ")
        value = value.lstrip(" ")
        if scheme.lower() != "bearer" or not value or len(value) > MAX_CREDENTIAL:
            raise unauthenticated()
        return cls(value, digest(value))
