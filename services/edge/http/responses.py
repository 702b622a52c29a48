"""Makes responses: a problem as of RFC 9457, an owner's reply with its ETag and Location."""

import orjson
from chassis.request import Reply, problem_headers
from contracts.problems import Problem
from starlette.requests import Request
from starlette.responses import Response

from edge.call_route import CallRoute
from edge.http.request import read_metadata


def reply_response(route: CallRoute, request: Request, reply: Reply) -> Response:
    """The owner's reply as a response, with ETag and Location; 304 for an ETag that is known."""
    headers = dict(reply.headers)
    if reply.version is not None:
        headers["ETag"] = f'"{reply.version}"'
    if reply.created is not None:
        headers["Location"] = _location(route, request, reply.created)
    if reply.status == 200 and route.method == "GET" and "ETag" in headers:
        known = request.headers.get("if-none-match", "")
        tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
        if headers["ETag"] in tags or "*" in tags:
            return _response(b"", 304, headers)
    if reply.body:
        headers.setdefault("Content-Type", "application/json")
    return _response(reply.body, reply.status, headers)


def _location(route: CallRoute, request: Request, created: str) -> str:
    location = route.endpoint.location
    if location is None:
        return f"{request.scope['path'].rstrip('/')}/{created}"
    return location.format(**request.path_params, created=created)


def problem_response(problem: Problem, request_id: str, traceparent: str) -> Response:
    """RFC 9457, with the headers that belong to a status."""
    body = orjson.dumps(problem.body(request_id, traceparent[3:35]))
    return _response(body, problem.status, problem_headers(problem))


def _response(body: bytes, status: int, headers: dict[str, str]) -> Response:
    if status >= 400:
        headers["Content-Type"] = "application/problem+json"
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    headers.setdefault("Cache-Control", "no-store")
    return Response(body, status, headers)


def unrouted_response(request: Request, problem: Problem) -> Response:
    """The problem of a request that no route answers."""
    metadata = read_metadata(request)
    response = problem_response(problem, metadata.request_id, metadata.traceparent)
    response.raw_headers += metadata.headers.items()
    return response
