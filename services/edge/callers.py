"""Who calls, by which key, and what a request presents to say so."""

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
class Caller:
    """Who asks and what they may do; `key_id` is None for the operator."""

    actor_type: ActorType
    tenant_id: str | None = None
    key_id: str | None = None
    scopes: tuple[str, ...] = ()
    credential: Any = None
    expires_at: str | None = None

    @property
    def is_operator(self) -> bool:
        return self.actor_type == "operator"


@dataclass(frozen=True, slots=True)
class Key:
    """A key as its owner told of it: who calls with it, or why nobody may.

    `refusal` is `unknown` for what is no secret key of a living tenant, else a reason that the
    tenant is told of; `expires_at` in seconds since the epoch.
    """

    caller: Caller
    refusal: str | None
    expires_at: float
    is_previous: bool

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Key":
        """A key by what its owner tells of it."""
        refusal = None
        if told["type"] != "secret" or told["tenant_status"] == "deleting":
            refusal = "unknown"
        elif told["status"] != "active":
            refusal = told["status"]
        elif told["tenant_status"] == "suspended":
            refusal = "tenant_suspended"
        expiry = told["expires_at"]
        ends = math.inf if expiry is None else datetime.fromisoformat(expiry).timestamp()
        scopes = tuple(told["scopes"])
        caller = Caller("api_key", told["tenant_id"], told["key_id"], scopes, "api_key", expiry)
        return cls(caller, refusal, ends, told["previous"])


@dataclass(slots=True)
class Presented:
    """A credential as a request presents it, and the digest by which it is known."""

    value: str = field(repr=False)
    digest: str

    @classmethod
    def of(cls, authorization: str) -> "Presented":
        """What an Authorization header presents. Raises Problem (401)."""
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
