"""Responses: a problem as RFC 9457 has it, an owner's reply with its ETag and Location."""

import orjson
from chassis.request import Reply, problem_headers
from contracts.problems import Problem
from starlette.requests import Request
from starlette.responses import Response

from edge.receiving import trace_of
from edge.route import Route, location_of


def respond(route: Route, request: Request, reply: Reply) -> Response:
    """The owner's reply as a response: ETag, Location, 304."""
    headers = dict(reply.headers)
    if reply.version is not None:
        headers["ETag"] = f'"{reply.version}"'
    if reply.created is not None:
        headers["Location"] = location_of(route, request, reply.created)
    if reply.status == 200 and route.method == "GET" and "ETag" in headers:
        known = request.headers.get("if-none-match", "")
        tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
        if headers["ETag"] in tags or "*" in tags:
            return _response(b"", 304, headers)
    if reply.body:
        headers.setdefault("Content-Type", "application/json")
    return _response(reply.body, reply.status, headers)


def refuse(request: Request, code: str, detail: str) -> Response:
    """A problem before any route was found."""
    trace = trace_of(request)
    response = problem_response(Problem(code, detail), trace.request_id, trace.traceparent)
    response.headers.update(trace.headers)
    return response


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
