"""Calls of the API that a form or an address makes: what they send, and what came of them."""

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar

from contracts.models import Body, ListQuery
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData
from tenantry_client.errors import ConflictError
from tenantry_client.requests import Request

from console.forms import Errors, UnreadableFormError
from console.place import Place
from console.sent_forms import IDEMPOTENCY_KEY
from console.web import Visit

Q = TypeVar("Q", bound=ListQuery)

IN_FLIGHT_TRIES = 5
IN_FLIGHT_SECONDS = 0.2
"""How often, and after what pause, the answer to the first click is asked for by the second."""


def rows_of(page: BaseModel) -> list[Any]:
    """The items of a page: its one list."""
    return next(value for value in vars(page).values() if isinstance(value, list))


def filter_names(model: type[ListQuery]) -> tuple[str, ...]:
    """The parameters of a list that are no paging."""
    return tuple(name for name in model.model_fields if name not in ListQuery.model_fields)


def query_of(model: type[Q], given: Mapping[str, str]) -> tuple[Q, Errors]:
    """The query of a list; without the filters that are wrong, and what is wrong with them.

    `limit` is not for an address to say: a page has a bounded size.
    """
    known = {name: value for name, value in given.items() if name in model.model_fields}
    known.pop("limit", None)
    try:
        return model.model_validate(known), Errors()
    except ValidationError as error:
        errors = {str(each["loc"][0]): each["msg"] for each in error.errors() if each["loc"]}
        good = {name: value for name, value in known.items() if name not in errors}
        return model.model_validate(good), Errors(errors)


def validated(model: type[Body], body: dict[str, Any]) -> Body:
    """The body. Raises UnreadableFormError, with the fields that are wrong."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        faults = {
            ".".join(str(part) for part in each["loc"]) or "": each["msg"]
            for each in error.errors(include_url=False)
        }
        raise UnreadableFormError(faults) from None


async def send(visit: Visit, request: Request[Any], form: FormData) -> Any:
    """With the key of the form: sent twice, it is done once, and both get the same answer."""
    key = form.get(IDEMPOTENCY_KEY)
    if isinstance(key, str) and key:
        request = request.idempotency_key(key)
    for _ in range(IN_FLIGHT_TRIES):
        try:
            return await visit.api(request)
        except ConflictError as error:
            if error.code != "idempotency_in_flight":
                raise
        await asyncio.sleep(IN_FLIGHT_SECONDS)
    return await visit.api(request)


async def find(visit: Visit, place: Place) -> Any:
    """The resource of a place; of the list where there is no request for one. None: not found.

    Raises TenantryError.
    """
    resource = place.resource
    if resource.get:
        return await visit.api(resource.get(*place.own_ids))
    pages = resource.list(*place.ids, resource.query(limit=200))
    async for item in visit.api.each(pages):
        if getattr(item, resource.key) == place.id:
            return item
    return None
