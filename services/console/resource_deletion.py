"""The deletion of one resource: what goes with it, before it goes."""

from collections.abc import Mapping
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
        preview, errors = await self._preview(visit)
        return await self._page(visit, preview, errors, str(uuid4()))

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
            return await self._page(
                visit, {}, errors_of(error), next_key(form, error), status_of(error)
            )
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

    async def _page(
        self,
        visit: Visit,
        preview: Mapping[str, int],
        errors: Errors,
        key: str,
        status: int = 200,
    ) -> Response:
        place = place_of_request(visit.request, self.resource, self.parents)
        try:
            item = await find(visit, place)
        except REFUSALS:
            item = None  # the reason is said already
        else:
            if item is None:
                raise HTTPException(404)
        return visit.page(
            "delete.html", status, place=place, item=item, preview=preview, errors=errors, key=key
        )
