"""What is done to one resource, or to a list of them: asked for first, done by a POST."""

from typing import Any
from uuid import uuid4

from starlette.responses import Response
from tenantry_client.errors import ConflictError, TenantryError

from console.calls import find, send, validated
from console.forms import Errors, Form
from console.place import place_of_request
from console.refusals import REFUSALS, errors_of, next_key, status_of
from console.resources import Action, Resource
from console.web import SignedIn, Visit


class ActionPages:
    """One action of a kind of resource."""

    def __init__(self, resource: Resource, parents: tuple[Resource, ...], action: Action) -> None:
        self.resource = resource
        self.parents = parents
        self.action = action
        self._form = Form(action.body) if action.body else None

    async def show(self, visit: SignedIn) -> Response:
        given = visit.request.query_params
        return self._page(visit, self._form.fields(given) if self._form else [])

    async def send(self, visit: SignedIn) -> Response:
        place = place_of_request(visit.request, self.resource, self.parents)
        form = await visit.form()
        ids = place.own_ids if place.id else place.ids
        bodies: tuple[Any, ...] = (self.action.patch,) if self.action.patch else ()
        try:
            if self.action.body and self._form:
                bodies = (validated(self.action.body, self._form.read(form)),)
            result = await send(visit, self.action.call(*ids, *bodies), form)
        except REFUSALS as error:
            errors = errors_of(error)
            fields = self._form.fields(self._form.typed(form), errors) if self._form else []
            now = await self._now(visit) if isinstance(error, ConflictError) else None
            key, status = next_key(form, error), status_of(error)
            return self._page(visit, fields, status, errors=errors, key=key, now=now)
        if self.action.shows_result:
            return visit.page(
                "result.html", place=place, result=result, label=f"{self.action.label}: done"
            )
        return visit.go(place.back, done="done")

    async def _now(self, visit: Visit) -> Any:
        """The resource that an action has conflicted with, as it is now."""
        place = place_of_request(visit.request, self.resource, self.parents)
        try:
            return await find(visit, place) if place.id else None
        except TenantryError:
            return None

    def _page(self, visit: Visit, fields: list[Any], status: int = 200, **more: Any) -> Response:
        place = place_of_request(visit.request, self.resource, self.parents)
        values = {"errors": Errors(), "key": uuid4(), "now": None, **more}
        return visit.page(
            "action.html", status, place=place, action=self.action, fields=fields, **values
        )
