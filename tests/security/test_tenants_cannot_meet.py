"""Every endpoint by every identifier of its path: foreign, absent, malformed, of another prefix.

All of it is one and the same 404, and leaves no trace with either tenant.
"""

import asyncio
import pprint
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from contracts.examples import example_of
from contracts.ids import new_id
from contracts.models import DeleteQuery
from edge.auth import access
from edge.call_route import CallRoute
from edge.routers import ROUTES
from security.sample_tenant import SampleTenant
from support.api import Answer, Api
from support.figures import FIGURES
from support.waiting import until

WITH_PATH = [route for route in ROUTES if route.call.path]
FOLLOWS_BY_EVENT = ("list_deliveries", "get_delivery", "get_event")


def kind_of(route: CallRoute, prefix: str) -> str:
    """What `SampleTenant.ids` calls it: the operator's keys are root keys."""
    return "root" if (route.access, prefix) == (access.operator, "key") else prefix


def wrong(
    kind: str, prefix: str, here: SampleTenant, there: SampleTenant
) -> Iterator[tuple[str, str]]:
    """Identifiers that are not here, each with what it is."""
    own = here.ids[kind]
    suffix = own.partition("_")[2]
    yield "foreign", there.ids[kind]
    yield "absent", new_id(prefix)
    for malformed in ("nonsense", own.upper(), own + "0", own[:-1], "%00", "%ff%fe", "a" * 400):
        yield "malformed", malformed
    for malformed in (f"{prefix}_8{suffix[1:]}", f"%20{own}", f"{own}%0A", "%ED%A0%80", "*", "%25"):
        yield "malformed", malformed
    other = "usr" if prefix != "usr" else "org"
    yield "other prefix", here.ids[other]
    yield "other prefix", f"{other}_{suffix}"
    yield "other prefix", f"_{suffix}"


def paths(route: CallRoute, here: SampleTenant, there: SampleTenant) -> Iterator[tuple[str, str]]:
    """The route's path with one identifier after another at fault, then all of them foreign."""
    own = {name: here.ids[kind_of(route, prefix)] for name, prefix in route.call.path.items()}
    for name, prefix in route.call.path.items():
        for kind, identifier in wrong(kind_of(route, prefix), prefix, here, there):
            # To the operator and to strangers, no tenant and no key set is foreign.
            if (
                kind == "foreign"
                and route.access in (access.operator, access.public)
                and name == "id"
            ):
                continue
            yield f"{kind} {name}", route.path.format(**own | {name: identifier})
    if len(route.call.path) > 1 and route.access is not access.operator:
        foreign = {name: there.ids[prefix] for name, prefix in route.call.path.items()}
        yield "all foreign", route.path.format(**foreign)


def manners(route: CallRoute) -> Iterator[tuple[str, dict[str, str]]]:
    """How it is asked: each might be looked at before the identifier is."""
    yield "", {}
    if issubclass(route.call.query, DeleteQuery):
        yield "?dry_run=true", {}
    if "version_mismatch" in route.call.problems:
        yield "", {"if_match": '"1"'}
        yield "", {"if_match": '"999"'}
    if route.method == "GET":
        yield "", {"if_none_match": "*"}
    else:
        yield "", {"idempotency_key": uuid4().hex}


def body_of(route: CallRoute, here: SampleTenant) -> Any:
    """A valid body, its identifiers those of the caller's tenant."""
    if route.call.body is None:
        return None
    own = {"user_id": here.spare, "project_id": here.ids["prj"], "organization_id": None}
    body = example_of(route.call.body)
    return {name: own.get(name, value) for name, value in body.items()}


def told(answer: Answer) -> tuple[int, dict[str, Any]]:
    """What a caller can tell apart."""
    headers = {
        name.lower(): value
        for name, value in answer.headers.items()
        if name.lower() not in ("date", "ratelimit", "traceparent")
    }
    body = {name: value for name, value in (answer.body or {}).items() if name != "trace_id"}
    return answer.status, {"headers": headers, "body": body}


async def mark(tenant: SampleTenant) -> int:
    """Changes something in every service; how many events there are when all of it is heard."""
    request = uuid4().hex
    ids = tenant.ids
    for path in (f"projects/{ids['prj']}", f"users/{tenant.spare}", f"webhooks/{ids['whk']}"):
        field = "description" if "webhooks" in path else "name"
        changed = await tenant.api(
            "PATCH", f"/v1/admin/{path}", {field: request}, x_request_id=request
        )
        assert changed.status == 200, changed.raw

    async def heard() -> bool:
        answer = await tenant.api("GET", f"/v1/admin/audit?request_id={request}")
        return bool(answer.body["pagination"]["total"] == 3)

    await until(heard)
    answer = await tenant.api("GET", "/v1/admin/audit")
    return int(answer.body["pagination"]["total"])


async def state(tenant: SampleTenant) -> dict[str, Any]:
    """All that the tenant has, by the name of the call that shows it."""
    shown = {}
    for route in WITH_PATH:
        if route.method == "GET" and route.access is not access.operator:
            ids = {name: tenant.ids[prefix] for name, prefix in route.call.path.items()}
            answer = await tenant.api("GET", route.path.format(**ids))
            if answer.status == 409:
                assert answer.body["code"] == "checkpoint_pending"  # none is signed meanwhile
                continue
            assert answer.status == 200, answer.raw
            shown[route.call.name] = answer.body
    return {name: body for name, body in shown.items() if name not in FOLLOWS_BY_EVENT}


async def test_what_is_not_here_is_one_404_and_leaves_no_trace(
    here: SampleTenant, there: SampleTenant, operator: Api
) -> None:
    before = [(await mark(tenant), await state(tenant)) for tenant in (here, there)]
    absent = await here.api("GET", f"/v1/admin/users/{new_id('usr')}", x_request_id="same")
    expected = told(absent)
    assert expected[0] == 404
    failed = []
    for route in WITH_PATH:
        caller = operator if route.access is access.operator else here.api
        caller = caller.as_key(None) if route.access is access.public else caller
        cells = [
            (what, path + query, headers)
            for what, path in paths(route, here, there)
            for query, headers in manners(route)
        ]
        body = body_of(route, here)
        answers = await asyncio.gather(
            *(
                caller(route.method, target, body, x_request_id="same", **headers)
                for _, target, headers in cells
            )
        )
        FIGURES["isolation cells, path"] += len(cells)
        failed += [
            (route.call.name, cell, told(answer))
            for cell, answer in zip(cells, answers, strict=True)
            if told(answer) != expected
        ]
    assert not failed, pprint.pformat(failed[:20])
    after = [(await mark(tenant), await state(tenant)) for tenant in (here, there)]
    for (events, shown), (events_after, shown_after) in zip(before, after, strict=True):
        assert events_after == events + 3
        assert _unmarked(shown_after) == _unmarked(shown)


def _unmarked(shown: dict[str, Any]) -> dict[str, Any]:
    """Without what `mark` changes."""
    marked = ("name", "description", "version", "updated_at")
    return {
        name: {key: value for key, value in body.items() if key not in marked}
        for name, body in shown.items()
    }


async def test_a_body_at_fault_tells_no_more_of_what_is_foreign_than_of_what_is_absent(
    here: SampleTenant, there: SampleTenant
) -> None:
    failed = []
    for route in WITH_PATH:
        if route.method == "GET" or route.access is access.operator:
            continue
        for data in (b"{", b"[]", b'{"nonsense":1}', b"null", b'"', b"\xff"):
            answers = []
            for other in (there.ids, {prefix: new_id(prefix) for prefix in there.ids}):
                path = route.path.format(
                    **{name: other[prefix] for name, prefix in route.call.path.items()}
                )
                answer = await here.api(route.method, path, data=data, x_request_id="same")
                assert 400 <= answer.status < 500, answer.raw
                answers.append(told(answer))
                FIGURES["isolation cells, body at fault"] += 1
            if answers[0] != answers[1]:
                failed.append((route.call.name, data, answers))
    assert not failed, pprint.pformat(failed[:20])
