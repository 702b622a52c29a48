"""The pages of a kind of resource: list, one of them, create, edit, delete, and its actions."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from chassis.merge_patch import merge
from contracts.models import DeleteQuery
from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.responses import Response
from tenantry_client.errors import ConflictError, VersionMismatchError

from console.calls import REFUSALS, errors_of, filter_names, query_of, rows_of, send, validated
from console.changes import changed_fields, merge_patch
from console.forms import Errors, Form
from console.outcomes import get_success
from console.place import Place
from console.resources import Action, Resource
from console.web import IDEMPOTENCY_KEY, SignedIn, Visit

PART_ROWS = 10
"""Rows of a part that the page of the whole shows."""


class ResourcePages:
    """The routes of one kind of resource, and of its parts."""

    def __init__(self, resource: Resource, parents: tuple[Resource, ...] = ()) -> None:
        self.resource = resource
        self.parents = parents
        create, update = resource.create, resource.update
        self._create_form = Form(create[1]) if create else None
        self._update_form = None
        if update:
            names = tuple(update[1].model_fields)
            self._update_form = Form(create[1] if create else update[1], names)
        self.router = APIRouter()
        self._add_routes()

    def place(self, request: Request) -> Place:
        """Where a request is: its path's parameters are `id0`, `id1` and so on."""
        ids = [request.path_params[f"id{number}"] for number in range(len(self.parents))]
        above = tuple(zip(self.parents, ids, strict=True))
        return Place(self.resource, above, request.path_params.get("id"))

    def _add_routes(self) -> None:
        resource = self.resource
        above = "".join(f"/{kind.path}/{{id{n}}}" for n, kind in enumerate(self.parents))
        every = f"{above}/{resource.path}"
        one = f"{every}/{{id}}"
        routes: list[tuple[str, str, Any]] = [("GET", every, self.show_list)]
        if self._create_form:
            routes += [
                ("GET", f"{every}/new", self.show_create),
                ("POST", f"{every}/new", self.create),
            ]
        for action in resource.collection_actions:
            path = f"{every}/{action.name}"
            routes += [("GET", path, self._ask(action)), ("POST", path, self._act(action))]
        if resource.get:
            routes.append(("GET", one, self.show_one))
        if self._update_form:
            routes += [
                ("GET", f"{one}/edit", self.show_update),
                ("POST", f"{one}/edit", self.update),
            ]
        if resource.delete:
            routes += [
                ("GET", f"{one}/delete", self.show_delete),
                ("POST", f"{one}/delete", self.delete),
            ]
        for action in resource.actions:
            path = f"{one}/{action.name}"
            routes += [("GET", path, self._ask(action)), ("POST", path, self._act(action))]
        for method, path, handler in routes:
            self.router.add_api_route(path, handler, methods=[method])
        for part in resource.parts:
            self.router.include_router(ResourcePages(part, (*self.parents, resource)).router)

    async def show_list(self, visit: SignedIn) -> Response:
        place = self.place(visit.request)
        given = {name: value for name, value in visit.request.query_params.items() if value}
        query, errors = query_of(self.resource.query, given)
        page = await visit.api(self.resource.list(*place.ids, query))
        return visit.page(
            "list.html",
            place=place,
            rows=rows_of(page),
            pagination=page.pagination,
            filters=Form(self.resource.query, filter_names(self.resource.query)).fields(
                given, errors
            ),
            given=given,
        )

    async def show_one(self, visit: SignedIn) -> Response:
        place = self.place(visit.request)
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

    async def show_create(self, visit: SignedIn) -> Response:
        assert self._create_form is not None
        fields = self._create_form.fields(visit.request.query_params)
        return self._form_page(visit, "New " + self.resource.one, fields)

    async def create(self, visit: SignedIn) -> Response:
        assert self.resource.create is not None
        assert self._create_form is not None
        place = self.place(visit.request)
        form = await visit.form()
        call, model = self.resource.create
        try:
            body = validated(model, self._create_form.read(form))
            created = await send(visit, call(*place.ids, body), form)
        except REFUSALS as error:
            errors = errors_of(error)
            fields = self._create_form.fields(self._create_form.typed(form), errors)
            return self._form_page(visit, "New " + self.resource.one, fields, errors, form)
        if self.resource.shows_secret:
            return visit.page("result.html", place=place, result=created, label="created")
        target = place.path_of(getattr(created, self.resource.key))
        return visit.go(target if self.resource.get else place.list_path, done="created")

    async def show_update(self, visit: SignedIn) -> Response:
        assert self._update_form is not None
        current = _as_json(await self._find(visit))
        fields = self._update_form.fields(current)
        return self._form_page(
            visit, "Edit", fields, version=current.get("version"), before=current
        )

    async def update(self, visit: SignedIn) -> Response:
        """What the person has changed is sent alone, for the version that the form has shown."""
        assert self.resource.update is not None
        assert self._update_form is not None
        place = self.place(visit.request)
        form = await visit.form()
        call, model = self.resource.update
        before, version, patch = _before(form), _version(form), {}
        try:
            patch = merge_patch(before, self._update_form.read(form))
            request = call(*place.own_ids, validated(model, patch))
            await send(visit, request if version is None else request.if_match(version), form)
        except VersionMismatchError:
            current = _as_json(await self._find(visit))
            return self._form_page(
                visit,
                "Edit",
                self._update_form.fields(merge(current, patch)),
                Errors(whole="Somebody has changed it meanwhile. Save again to add your changes."),
                version=current.get("version"),
                meanwhile=changed_fields(before, current),
                before=current,
            )
        except REFUSALS as error:
            errors = errors_of(error)
            fields = self._update_form.fields(self._update_form.typed(form), errors)
            return self._form_page(
                visit, "Edit", fields, errors, form, version=version, before=before
            )
        return visit.go(place.path if self.resource.get else place.list_path, done="updated")

    async def show_delete(self, visit: SignedIn) -> Response:
        item = await self._find(visit)
        if item is None:
            raise HTTPException(404)
        preview, errors = await self._preview(visit)
        return self._delete_page(visit, item, preview, errors)

    async def _preview(self, visit: Visit) -> tuple[Mapping[str, int], Errors]:
        """What a deletion takes with it, and what it would be refused for unless it is forced."""
        assert self.resource.delete is not None
        if not self.resource.preview:
            return {}, Errors()
        ids, errors = self.place(visit.request).own_ids, Errors()
        query = self.resource.delete_query or DeleteQuery
        try:
            answer = await visit.api(self.resource.delete(*ids, query(dry_run=True)))
        except ConflictError as error:
            if query is DeleteQuery:
                raise
            errors = errors_of(error)
            answer = await visit.api(self.resource.delete(*ids, query(dry_run=True, force=True)))
        return answer.would_delete, errors

    async def delete(self, visit: SignedIn) -> Response:
        place = self.place(visit.request)
        assert self.resource.delete is not None
        form = await visit.form()
        query = self.resource.delete_query
        options = (query(force=True),) if query and form.get("force") else ()
        try:
            await send(visit, self.resource.delete(*place.own_ids, *options), form)
        except REFUSALS as error:
            item = await self._find(visit)
            return self._delete_page(visit, item, {}, errors_of(error), 409)
        return visit.go(place.list_path, done="deleted")

    def _ask(self, action: Action) -> Any:
        form = Form(action.body) if action.body else None

        async def ask(visit: SignedIn) -> Response:
            fields = form.fields({}) if form else []
            return self._action_page(visit, action, fields, Errors())

        return ask

    def _act(self, action: Action) -> Any:
        form_of_body = Form(action.body) if action.body else None

        async def act(visit: SignedIn) -> Response:
            place = self.place(visit.request)
            form = await visit.form()
            ids = place.own_ids if place.id else place.ids
            bodies: tuple[Any, ...] = (action.patch,) if action.patch else ()
            try:
                if action.body and form_of_body:
                    bodies = (validated(action.body, form_of_body.read(form)),)
                result = await send(visit, action.call(*ids, *bodies), form)
            except REFUSALS as error:
                errors = errors_of(error)
                typed = form_of_body.typed(form) if form_of_body else {}
                fields = form_of_body.fields(typed, errors) if form_of_body else []
                return self._action_page(visit, action, fields, errors, 409)
            if action.shows_result:
                return visit.page("result.html", place=place, result=result, label=action.label)
            shows_one = place.id and self.resource.get
            return visit.go(place.path if shows_one else place.list_path, done="done")

        return act

    async def _find(self, visit: Visit) -> Any:
        """The resource of the path; of the list where there is no request for one."""
        place = self.place(visit.request)
        if self.resource.get:
            return await visit.api(self.resource.get(*place.own_ids))
        pages = self.resource.list(*place.ids, self.resource.query(limit=200))
        async for item in visit.api.each(pages):
            if getattr(item, self.resource.key) == place.id:
                return item
        return None

    def _delete_page(
        self, visit: Visit, item: Any, preview: Mapping[str, int], errors: Errors, status: int = 200
    ) -> Response:
        place, key = self.place(visit.request), uuid4()
        return visit.page(
            "delete.html", status, place=place, item=item, preview=preview, errors=errors, key=key
        )

    def _form_page(
        self,
        visit: Visit,
        title: str,
        fields: Sequence[Any],
        errors: Errors | None = None,
        form: FormData | None = None,
        **more: Any,
    ) -> Response:
        values = {"version": None, "meanwhile": {}, "before": {}, **more}
        return visit.page(
            "form.html",
            422 if errors else 200,
            place=self.place(visit.request),
            title=title,
            fields=fields,
            errors=errors or Errors(),
            key=form.get(IDEMPOTENCY_KEY) if form else uuid4(),
            **values,
        )

    def _action_page(
        self, visit: Visit, action: Action, fields: Sequence[Any], errors: Errors, status: int = 200
    ) -> Response:
        return visit.page(
            "action.html",
            status,
            place=self.place(visit.request),
            action=action,
            fields=fields,
            errors=errors,
            key=uuid4(),
        )


def _as_json(item: BaseModel | None) -> dict[str, Any]:
    return {} if item is None else item.model_dump(mode="json")


def _version(form: FormData) -> int | None:
    """The version that the form has shown; None for what has none."""
    text = str(form.get("version", ""))
    return int(text) if text.isascii() and text.isdigit() else None


def _before(form: FormData) -> dict[str, Any]:
    """The resource as the form has shown it, which a hidden field carries."""
    try:
        before = json.loads(str(form.get("before", "{}")))
    except (ValueError, RecursionError):
        return {}
    return before if isinstance(before, dict) else {}
