"""A FastAPI route whose endpoint is a call to the service that owns the resource.

Its declarations make the OpenAPI document and say who may use it. At run time the gateway gets the
request untouched: FastAPI decodes no body, solves no dependency and validates no response.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from inspect import Parameter, Signature, getdoc
from typing import TYPE_CHECKING, Annotated, Any

from contracts.calls import Call
from contracts.models import DeleteQuery, DeletionPreview, Problem
from fastapi import Body, Path, Query
from fastapi.routing import APIRoute
from fastapi.security import SecurityScopes
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from edge.auth.access import Access, public
from edge.auth.principals import Principal
from edge.http.request import EdgeRequest

if TYPE_CHECKING:
    from edge.gateway import AuthorizedRequest, Gateway

RouteHandler = Callable[[Request], Coroutine[Any, Any, Response]]
Handler = Callable[["Gateway", "AuthorizedRequest"], Awaitable[Response]]

_RESOURCES = {
    "ten": "tenant",
    "prj": "project",
    "key": "API key",
    "sgk": "signing key",
    "usr": "user",
    "ses": "session",
    "org": "organization",
    "inv": "invitation",
    "whk": "webhook",
    "dlv": "delivery",
    "evt": "event",
}
"""By the prefix of their identifiers."""


@dataclass(frozen=True, eq=False)
class Endpoint:
    """The endpoint of a `CallRoute`: forwards the call to its owner, or has `handler` answer it.

    `body` is what the caller sends, where the owner gets something else. `location` is the path of
    what was created, where it is not the path and the identifier. With `reads_body` the handler
    reads the body itself, by limits of its own. `problem_status` holds the codes whose status here
    is not their usual one.
    """

    call: Call
    handler: Handler | None = None
    body: type[BaseModel] | None = None
    media_type: str = "application/json"
    reads_body: bool = False
    location: str | None = None
    problem_status: Mapping[str, int] = field(default_factory=dict)

    @property
    def body_model(self) -> type[BaseModel] | None:
        return self.body or self.call.body

    def __call__(self) -> None:
        """FastAPI reads the signature alone; the gateway answers."""

    @property
    def __signature__(self) -> Signature:
        """The parameters that a path operation function for this call would have."""
        parameters = []
        for name, prefix in self.call.path.items():
            text = f"The identifier of the {_RESOURCES[prefix]}."
            example = f"{prefix}_01jt7a3v9qf8mbd2m0q5k4h6xz"
            parameters.append(_parameter(name, str, Path(description=text, examples=[example])))
        if self.call.query.model_fields:
            parameters.append(_parameter("query", self.call.query, Query()))
        body = self.body_model
        if body is not None:
            is_required = any(each.is_required() for each in body.model_fields.values())
            default = Parameter.empty if is_required else None
            parameters.append(_parameter("body", body, Body(media_type=self.media_type), default))
        return Signature(parameters)


def _parameter(name: str, kind: Any, declared: Any, default: Any = Parameter.empty) -> Parameter:
    return Parameter(
        name, Parameter.KEYWORD_ONLY, annotation=Annotated[kind, declared], default=default
    )


class CallRoute(APIRoute):
    """What its call knows is filled in: the operation id, the status and the response model.

    `access` is the security dependency that says who may use it, with `scopes`.
    """

    endpoint: Endpoint

    def __init__(self, path: str, endpoint: Endpoint, **declared: Any) -> None:
        (security,) = declared["dependencies"]  # each route says who may use it
        self.access: Access = security.dependency
        self.scopes = tuple(security.scopes or ())
        self.call = call = endpoint.call
        model = declared["response_model"] or call.result
        access_text = f"Scope: `{self.scopes[0]}`." if self.scopes else getdoc(self.access)
        text = declared["description"] or (endpoint.handler and getdoc(endpoint.handler))
        declared |= {
            "operation_id": call.name,
            "status_code": call.status,
            "response_model": model,
            "response_class": declared["response_class"] if model else Response,
            "responses": self._responses() | declared["responses"],
            "description": "\n\n".join(filter(None, [text, access_text])),
        }
        super().__init__(path, endpoint, **declared)
        (self.method,) = declared["methods"]
        self.answered_methods = {self.method, "HEAD"} if self.method == "GET" else {self.method}
        self.label = f"{self.method} {path}"
        self._security_scopes = SecurityScopes(list(self.scopes))

    def _responses(self) -> dict[int | str, dict[str, Any]]:
        responses: dict[int | str, dict[str, Any]] = {"4XX": {"model": Problem}}
        if issubclass(self.call.query, DeleteQuery):
            responses[200] = {"model": DeletionPreview}
        return responses

    def check_access(self, principal: Principal) -> None:
        """Raises Problem (403) when the principal may not use the route."""
        if self.access is not public:
            self.access(self._security_scopes, principal)

    def get_route_handler(self) -> RouteHandler:
        """Hands the request to the gateway (FastAPI: "Custom Request and APIRoute class")."""

        async def handle(request: Request) -> Response:
            gateway: Gateway = request.app.state.gateway
            return await gateway.handle(self, EdgeRequest(request.scope, request.receive))

        return handle

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """The first path that matches is meant, whatever its methods: `/bulk` is no `/{id}`.

        HEAD matches GET, as with Starlette's own Route. An encoded slash or a line break at the
        end is data, and no data of ours: FastAPI matches the decoded path by `$`.
        """
        match, child_scope = super().matches(scope)
        if match is Match.NONE:
            return match, child_scope
        if b"%2f" in scope["raw_path"].lower() or not self.path_regex.fullmatch(scope["path"]):
            return Match.NONE, {}
        if scope.setdefault("call_path", self.path) != self.path:
            return Match.NONE, {}
        return Match.FULL if scope["method"] in self.answered_methods else match, child_scope

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in self.answered_methods:
            await self.app(scope, receive, send)
        else:
            await super().handle(scope, receive, send)
