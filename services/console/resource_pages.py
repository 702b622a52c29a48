"""The pages of a kind of resource: its list, one of them, and those that change it.

What changes has a module each: `resource_forms`, `resource_deletion`, `resource_actions`.
"""

import asyncio

from fastapi import APIRouter
from starlette.responses import Response

from console.calls import filter_names, query_of, rows_of
from console.forms import Form
from console.outcomes import get_success
from console.place import Place, place_of_request, route_of
from console.resource_actions import ActionPages
from console.resource_deletion import DeletionPages
from console.resource_forms import CreatePages, UpdatePages
from console.resources import Resource
from console.web import SignedIn

PART_ROWS = 10
"""Rows of a part that the page of the whole shows."""


class ResourcePages:
    """The routes of one kind of resource, and of its parts."""

    def __init__(self, resource: Resource, parents: tuple[Resource, ...] = ()) -> None:
        self.resource = resource
        self.parents = parents
        self.router = APIRouter()
        every = route_of(resource, parents)
        one = f"{every}/{{id}}"
        self.router.add_api_route(every, self.show_list, methods=["GET"])
        if resource.create:
            self._add(f"{every}/new", CreatePages(resource, parents))
        for action in resource.collection_actions:
            self._add(f"{every}/{action.name}", ActionPages(resource, parents, action))
        if resource.get:
            self.router.add_api_route(one, self.show_one, methods=["GET"])
        if resource.update:
            self._add(f"{one}/edit", UpdatePages(resource, parents))
        if resource.delete:
            self._add(f"{one}/delete", DeletionPages(resource, parents))
        for action in resource.actions:
            self._add(f"{one}/{action.name}", ActionPages(resource, parents, action))
        for part in resource.parts:
            self.router.include_router(ResourcePages(part, (*parents, resource)).router)

    def _add(
        self, path: str, pages: CreatePages | UpdatePages | DeletionPages | ActionPages
    ) -> None:
        self.router.add_api_route(path, pages.show, methods=["GET"])
        self.router.add_api_route(path, pages.send, methods=["POST"])

    async def show_list(self, visit: SignedIn) -> Response:
        place = place_of_request(visit.request, self.resource, self.parents)
        given = {name: value for name, value in visit.request.query_params.items() if value}
        query, errors = query_of(self.resource.query, given)
        page = await visit.api(self.resource.list(*place.ids, query))
        filters = Form(self.resource.query, filter_names(self.resource.query))
        return visit.page(
            "list.html",
            place=place,
            rows=rows_of(page),
            pagination=page.pagination,
            filters=filters.fields(given, errors),
            given=given,
        )

    async def show_one(self, visit: SignedIn) -> Response:
        place = place_of_request(visit.request, self.resource, self.parents)
        assert self.resource.get is not None
        shown = [part for part in self.resource.parts if visit.session.may(f"{part.scope}:read")]
        item, success, *pages = await asyncio.gather(
            visit.api(self.resource.get(*place.own_ids)),
            get_success(visit, self.resource, place.own_ids),
            *(visit.api(part.list(*place.own_ids, part.query(limit=PART_ROWS))) for part in shown),
        )
        above = (*place.parents, (self.resource, place.own_ids[-1]))
        parts = [
            (Place(part, above), rows_of(page), page.pagination)
            for part, page in zip(shown, pages, strict=True)
        ]
        return visit.page("detail.html", place=place, item=item, success=success, parts=parts)
