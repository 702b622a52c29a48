"""A row of the edge's table: a method and path, the call behind it, and who may use it.

The table is what the edge routes by, what the scopes are checked by and what OpenAPI is made of.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from contracts.calls import Call
from starlette.requests import Request
from starlette.responses import Response

if TYPE_CHECKING:
    from edge.gateway import Asked, Gateway

Method = Literal["GET", "POST", "PATCH", "DELETE"]

PUBLIC = "public"
"""No credential."""
TENANT = "tenant"
"""Any credential of a tenant, whatever its scopes."""
OPERATOR = "operator"
"""The operator's credential only."""
TENANT_OR_OPERATOR = "tenant or operator"
"""The owner decides which part of it a tenant may do."""


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """`access` is a scope such as `users:read`, or one of the four words above.

    `handler` answers in a way of its own; without one the call is forwarded and its reply passed
    on. `location` is the path of what was created, where it is not the path and the identifier.
    `reads_body`: the handler reads the body itself, by limits of its own.
    """

    method: Method
    path: str
    call: Call
    access: str
    summary: str
    handler: "Callable[[Gateway, Asked], Awaitable[Response]] | None" = None
    location: str | None = None
    media_type: str = "application/json"
    description: str = ""
    reads_body: bool = False


def location_of(route: Route, request: Request, created: str) -> str:
    """The path of the resource that a request made."""
    if route.location is None:
        return f"{request.scope['path'].rstrip('/')}/{created}"
    return route.location.format(**request.path_params, created=created)
