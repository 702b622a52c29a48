"""The forms of a kind of resource: to create one, and to edit one against the version shown."""

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from contracts.json_objects import merge
from pydantic import BaseModel
from starlette.datastructures import FormData
from starlette.responses import Response
from tenantry_client.errors import VersionMismatchError

from console.calls import find, send, validated
from console.changes import changed_fields, merge_patch
from console.forms import Errors, Form
from console.place import place_of_request
from console.refusals import REFUSALS, errors_of, next_key, status_of
from console.resources import Resource
from console.web import SignedIn, Visit

CHANGED = "Somebody has changed it meanwhile. Save again to add your changes."
_BEFORE_BYTES = 256 * 1024
_FIELDS_BYTES = 44 * 1024
"""Of all fields of an edit form: with what it was before, and the rest, a page of 100 KB. Two JSON
objects of 16 KiB have room, unless most of them is `&` and `<`.
"""


class CreatePages:
    """A new one."""

    def __init__(self, resource: Resource, parents: tuple[Resource, ...]) -> None:
        assert resource.create is not None
        self.resource = resource
        self.parents = parents
        self._call, self._model = resource.create
        self._form = Form(self._model)

    async def show(self, visit: SignedIn) -> Response:
        return self._page(visit, self._form.fields(visit.request.query_params))

    async def send(self, visit: SignedIn) -> Response:
        place = place_of_request(visit.request, self.resource, self.parents)
        form = await visit.form()
        try:
            body = validated(self._model, self._form.read(form))
            created = await send(visit, self._call(*place.ids, body), form)
        except REFUSALS as error:
            errors = errors_of(error)
            fields = self._form.fields(self._form.typed(form), errors)
            return self._page(
                visit, fields, status_of(error), errors=errors, key=next_key(form, error)
            )
        if self.resource.shows_secret:
            return visit.page(
                "result.html", place=place, result=created, label=f"New {self.resource.one}: done"
            )
        target = place.path_of(getattr(created, self.resource.key))
        return visit.go(target if self.resource.get else place.list_path, done="created")

    def _page(self, visit: Visit, fields: list[Any], status: int = 200, **more: Any) -> Response:
        place = place_of_request(visit.request, self.resource, self.parents)
        title = f"New {self.resource.one}"
        values = {"errors": Errors(), "key": uuid4(), "version": None, "meanwhile": {}, **more}
        return visit.page(
            "form.html", status, place=place, title=title, fields=fields, before="", **values
        )


class UpdatePages:
    """What the person has changed is sent alone, for the version that the form has shown."""

    def __init__(self, resource: Resource, parents: tuple[Resource, ...]) -> None:
        assert resource.update is not None
        self.resource = resource
        self.parents = parents
        self._call, self._model = resource.update
        full = resource.create[1] if resource.create else self._model
        self._form = Form(full, tuple(self._model.model_fields))

    async def show(self, visit: SignedIn) -> Response:
        current = await self._current(visit)
        fields = self._form.fields(current)
        left_out = self._form.too_long(fields, _FIELDS_BYTES)
        if left_out:
            fields = self._form.fields(current, left_out=left_out)
        before = {name: value for name, value in current.items() if name not in left_out}
        return self._page(visit, fields, before, current.get("version"))

    async def send(self, visit: SignedIn) -> Response:
        place = place_of_request(visit.request, self.resource, self.parents)
        form = await visit.form()
        before, version, patch = _unpacked(form), _version(form), {}
        left_out = self._form.absent(form)
        try:
            patch = merge_patch(before, self._form.read(form))
            request = self._call(*place.own_ids, validated(self._model, patch))
            await send(visit, request if version is None else request.if_match(version), form)
        except VersionMismatchError:
            current = await self._current(visit)
            return self._page(
                visit,
                self._form.fields(merge(current, patch), left_out=left_out),
                {name: value for name, value in current.items() if name not in left_out},
                current.get("version"),
                status=412,
                errors=Errors(whole=CHANGED),
                meanwhile=changed_fields(before, current),
            )
        except REFUSALS as error:
            errors = errors_of(error)
            fields = self._form.fields(self._form.typed(form), errors, left_out)
            key, status = next_key(form, error), status_of(error)
            return self._page(visit, fields, before, version, status=status, errors=errors, key=key)
        return visit.go(place.back, done="updated")

    async def _current(self, visit: Visit) -> dict[str, Any]:
        item = await find(visit, place_of_request(visit.request, self.resource, self.parents))
        return item.model_dump(mode="json") if isinstance(item, BaseModel) else {}

    def _page(
        self,
        visit: Visit,
        fields: list[Any],
        before: Mapping[str, Any],
        version: int | None,
        **more: Any,
    ) -> Response:
        place = place_of_request(visit.request, self.resource, self.parents)
        values = {"status": 200, "errors": Errors(), "key": uuid4(), "meanwhile": {}, **more}
        return visit.page(
            "form.html",
            place=place,
            title=f"Edit {self.resource.one}",
            fields=fields,
            version=version,
            before=_packed(before),
            **values,
        )


def _version(form: FormData) -> int | None:
    """The version that the form has shown; None for what has none."""
    text = str(form.get("version", ""))
    return int(text) if text.isascii() and text.isdigit() else None


def _packed(before: Mapping[str, Any]) -> str:
    """The resource as the form shows it, for a hidden field: small, whatever is in it."""
    return base64.b64encode(zlib.compress(json.dumps(before).encode())).decode()


def _unpacked(form: FormData) -> dict[str, Any]:
    """What `_packed` made; empty for anything else."""
    try:
        packed = base64.b64decode(str(form.get("before", "")), validate=True)
        text = zlib.decompressobj().decompress(packed, _BEFORE_BYTES)
        before = json.loads(text)
    except (ValueError, RecursionError, zlib.error):
        return {}
    return before if isinstance(before, dict) else {}
