"""Who may use a route, declared as FastAPI security dependencies and checked by the gateway.

FastAPI documents them and never runs them: the gateway calls the check of a route with the
principal that it has authenticated. A route without one cannot be declared.
"""

from collections.abc import Callable
from typing import Annotated

from contracts.problems import Problem
from contracts.scopes import covers
from fastapi import Depends
from fastapi.security import HTTPBearer, SecurityScopes

from edge.auth.principals import Principal

bearer = HTTPBearer(
    scheme_name="bearer",
    description="A secret API key, an access token, or the operator's key.",
)
BearerPrincipal = Annotated[Principal, Depends(bearer)]
Access = Callable[..., None]
"""Takes scopes and principal; raises Problem (403) when the principal may not use the route."""


def public() -> None:
    """No credential is needed."""


def tenant(scopes: SecurityScopes, principal: BearerPrincipal) -> None:
    """Any credential of the tenant."""
    if principal.is_operator:
        raise Problem(
            "insufficient_scope",
            "The operator has no tenant of its own. Use an API key of the tenant.",
        )
    for scope in scopes.scopes:
        if not covers(principal.scopes, scope):
            raise Problem(
                "insufficient_scope", f"The credential lacks the scope {scope}.", scope=scope
            )


def operator(scopes: SecurityScopes, principal: BearerPrincipal) -> None:  # noqa: ARG001
    """The operator's credential only."""
    if not principal.is_operator:
        raise Problem("insufficient_scope", "Only the operator may do this.")


def tenant_or_operator(scopes: SecurityScopes, principal: BearerPrincipal) -> None:
    """The operator, or the tenant's own credential."""
    # The projects service decides which part of it a tenant may do.
