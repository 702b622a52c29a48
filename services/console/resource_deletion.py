"""The deletion of one resource: what goes with it, before it goes."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from contracts.models import DeleteQuery
from starlette.exceptions import HTTPException
from starlette.responses import Response
from tenantry_client.errors import ConflictError, NotFoundError

from console.calls import find, send
from console.forms import Errors
from console.place import place_of_request
from console.refusals import REFUSALS, errors_of, next_key, status_of
from console.resources import Resource
from console.web import SignedIn, Visit


class DeletionPages:
    """A question, with the API's own preview, and its answer."""

    def __init__(self, resource: Resource, parents: tuple[Resource, ...]) -> None:
        assert resource.delete is not None
        self.resource = resource
        self.parents = parents
        self._call = resource.delete

    async def show(self, visit: SignedIn) -> Response:
        place = place_of_request(visit.request, self.resource, self.parents)
        item, (preview, errors) = await asyncio.gather(find(visit, place), self._preview(visit))
        if item is None:
            raise HTTPException(404)
        return self._page(visit, item, preview, errors=errors)

    async def send(self, visit: SignedIn) -> Response:
        place = place_of_request(visit.request, self.resource, self.parents)
        form = await visit.form()
        query = self.resource.delete_query
        options = (query(force=True),) if query and form.get("force") else ()
        try:
            rest = await send(visit, self._call(*place.own_ids, *options), form)
        except NotFoundError:  # somebody else was faster
            return visit.go(place.list_path, done="deleted")
        except REFUSALS as error:
            key, status = next_key(form, error), status_of(error)
            return self._page(visit, None, {}, status, errors=errors_of(error), key=key)
        if rest is not None:  # it goes on in the background
            return visit.go(f"{place.path}/deletion")
        return visit.go(place.list_path, done="deleted")

    async def _preview(self, visit: Visit) -> tuple[Mapping[str, int], Errors]:
        """What a deletion takes with it, and what it would be refused for unless it is forced."""
        if not self.resource.preview:
            return {}, Errors()
        ids = place_of_request(visit.request, self.resource, self.parents).own_ids
        errors, query = Errors(), self.resource.delete_query or DeleteQuery
        try:
            answer = await visit.api(self._call(*ids, query(dry_run=True)))
        except ConflictError as error:
            if query is DeleteQuery:
                raise
            errors = errors_of(error)
            answer = await visit.api(self._call(*ids, query(dry_run=True, force=True)))
        return answer.would_delete, errors

    def _page(
        self, visit: Visit, item: Any, preview: Mapping[str, int], status: int = 200, **more: Any
    ) -> Response:
        """`item` is None where it is enough to say what went wrong."""
        place = place_of_request(visit.request, self.resource, self.parents)
        values = {"errors": Errors(), "key": uuid4(), **more}
        return visit.page("delete.html", status, place=place, item=item, preview=preview, **values)
