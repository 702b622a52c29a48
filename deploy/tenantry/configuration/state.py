"""What a tenant has now, in the terms of a file of configuration."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from contracts.json_objects import normal_object

from tenantry.configuration.models import IDENTITY, fields_of
from tenantry.connection import Api
from tenantry.errors import CommandFailed

PAGE = 200
PATHS = {
    "projects": "/v1/admin/projects",
    "organizations": "/v1/admin/organizations",
    "webhooks": "/v1/admin/webhooks",
}


@dataclass(frozen=True)
class Existing:
    """A resource of the tenant. `values` are the fields that a file has; `keys` are of a project,
    by name: those that work, the newest first.
    """

    kind: str
    id: str
    version: int
    values: dict[str, Any]
    keys: dict[str, list["Existing"]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.values[IDENTITY[self.kind]])


State = dict[str, dict[str, Existing]]
"""By kind, then by slug or URL."""


def read_state(api: Api, kinds: tuple[str, ...], projects_with_keys: set[str] | None) -> State:
    """`projects_with_keys` are the slugs of projects whose keys are read; None: all."""
    state: State = {}
    for kind in kinds:
        found = state.setdefault(kind, {})
        for item in _each(api, PATHS[kind], kind):
            keys = {}
            if kind == "projects" and (
                projects_with_keys is None or item["slug"] in projects_with_keys
            ):
                keys = _keys(api, item["id"])
            existing = _existing(kind, item, keys)
            if existing.name in found:
                raise CommandFailed(
                    f"{found[existing.name].id} and {existing.id} have one URL, {existing.name}",
                    "A file cannot tell them apart: delete one of them.",
                    code="ambiguous",
                )
            found[existing.name] = existing
    return state


def export_state(state: State) -> dict[str, Any]:
    """As a file has it, in a stable order; never a secret."""
    content: dict[str, Any] = {"tenantry": 1}
    for kind, found in state.items():
        content[kind] = [_exported(found[name]) for name in sorted(found)]
    return content


def _exported(existing: Existing) -> dict[str, Any]:
    values = dict(existing.values)
    if existing.kind == "projects":
        keys = existing.keys
        values["api_keys"] = [keys[name][0].values for name in sorted(keys)]
    return values


def _existing(kind: str, item: dict[str, Any], keys: dict[str, list[Existing]]) -> Existing:
    # 2**64 is a double, which JSON shows as an integer: both sides are compared in one form.
    values = {
        name: normal_object(item[name]) if isinstance(item[name], dict) else item[name]
        for name in fields_of(kind)
    }
    return Existing(kind, item["id"], item.get("version", 0), values, keys)


def _keys(api: Api, project_id: str) -> dict[str, list[Existing]]:
    found: dict[str, list[Existing]] = {}
    path = f"{PATHS['projects']}/{project_id}/api-keys"
    for item in _each(api, path, "api_keys", status="active"):
        found.setdefault(item["name"], []).append(_existing("api_keys", item, {}))
    return found


def _each(api: Api, path: str, name: str, **query: Any) -> Iterator[dict[str, Any]]:
    query["limit"] = PAGE
    while True:
        page = api("GET", path, query)
        yield from page[name]
        query["cursor"] = page["pagination"]["next_cursor"]
        if query["cursor"] is None:
            return
