"""How many of each a tenant may have. An operator changes a quota for all tenants by the
environment (`TENANTRY_QUOTAS` of the edge, JSON), and for one tenant by `quotas` of the tenant.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from contracts.fields import fault
from contracts.problems import Problem

QuotaValue = Annotated[int, Field(ge=0, le=1_000_000_000)]
QuotaName = Literal[
    "webhooks",
    "projects",
    "root_keys",
    "api_keys_per_project",
    "sessions_per_user",
    "pending_invitations_per_organization",
]
QUOTAS: dict[QuotaName, int] = {
    "webhooks": 100,
    "projects": 10_000,
    "root_keys": 100,
    "api_keys_per_project": 1_000,
    "sessions_per_user": 1_000,
    "pending_invitations_per_organization": 10_000,
}
"""What holds where nobody says otherwise. Keys count until they are revoked; only live sessions
count, and beyond their quota the oldest is revoked."""


def _check_size(value: Any) -> Any:
    """Before anything looks at the members: a refusal of each costs more than reading it."""
    if isinstance(value, dict) and len(value) > len(QUOTAS):
        raise fault("too_long", f"must have at most {len(QUOTAS)} members")
    return value


Quotas = Annotated[dict[QuotaName, QuotaValue], BeforeValidator(_check_size)]
ChangedQuotas = Annotated[dict[QuotaName, QuotaValue | None], BeforeValidator(_check_size)]


def quota_exceeded(name: QuotaName, bound: int) -> Problem:
    """The refusal of one more than `bound`."""
    what, _, owner = name.partition("_per_")
    of = f"Each {owner} may have" if owner else "The tenant may have"
    return Problem(
        "quota_exceeded",
        f"{of} at most {bound} {what.replace('_', ' ')}. Delete some, or have the operator raise "
        f"the quota {name}.",
        quota=name,
        limit=bound,
    )
