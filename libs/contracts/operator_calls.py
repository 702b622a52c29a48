"""What the operator asks of one tenant: a token to look into it, and how far its deletion is."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from contracts.calls import Call
from contracts.fields import Instant, fault
from contracts.models import Body, Query, Resource
from contracts.scopes import SCOPES
from contracts.tenants import AccessToken

OPERATOR_SUBJECT = "operator"
"""The `sub` of the operator's tokens, where that of the others is the id of an API key."""


def _known_scopes(text: str) -> str:
    scopes = text.split()
    if not scopes or not set(scopes) <= set(SCOPES):
        raise fault("unknown_scope", f"must be some of {', '.join(SCOPES)}, separated by spaces")
    return " ".join(dict.fromkeys(scopes))


class IssueOperatorToken(Body):
    """`scope`: scopes separated by spaces (RFC 6749 3.3); all of them without it."""

    scope: Annotated[
        str,
        Field(max_length=500, examples=["users:read audit:read"]),
        AfterValidator(_known_scopes),
    ] = "*"


class OperatorKeyQuery(Query):
    """By which of the operator's keys a token is asked for; the token carries it.

    Only the edge sends it; `x-internal` keeps it out of the OpenAPI document.
    """

    operator_key: str | None = Field(None, json_schema_extra={"x-internal": True})


class ServiceDeletion(Resource):
    """How far a service is; `confirmed_at` is when it had nothing left of the tenant."""

    status: Literal["erasing", "erased"] = Field(examples=["erased"])
    confirmed_at: Instant | None


class TenantDeletion(Resource):
    """A deletion under way. `services` are those that have to confirm it, by their names."""

    status: Literal["deleting"] = "deleting"
    requested_at: Instant
    services: dict[str, ServiceDeletion] = Field(
        examples=[{"identity": {"status": "erased", "confirmed_at": "2026-01-15T10:00:00Z"}}]
    )


_TENANT = {"id": "ten"}

ISSUE_OPERATOR_TOKEN = Call(
    "projects",
    "issue_operator_token",
    body=IssueOperatorToken,
    query=OperatorKeyQuery,
    result=AccessToken,
    path=_TENANT,
    shows_secret=True,
)
GET_TENANT_DELETION = Call("projects", "get_tenant_deletion", result=TenantDeletion, path=_TENANT)
