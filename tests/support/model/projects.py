"""Section 3 of the contract: projects."""

from typing import Any

from support.model.lists import chosen, page
from support.model.rules import check_version, clean, cleaned, contains, moved_on, patched, slug_of
from support.model.words import Ask, Refused, Said
from support.model.world import Route, Tenant, named

SETTINGS = {
    "access_token_ttl": 900,
    "refresh_token_ttl": 604_800,
    "session_idle_timeout": 604_800,
    "allow_sign_up": True,
    "mfa": "optional",
    "signing_algorithm": "EdDSA",
    "signing_key_grace_period": 86_400,
}


def create(tenant: Tenant, ask: Ask) -> Said:
    name = clean(ask.body["name"])
    slug = ask.body.get("slug") or slug_of(name)
    _check_slug(tenant, slug)
    now = ask.told.now("created_at")
    project = {
        "id": ask.told.id("prj"),
        "name": name,
        "slug": slug or ask.told.text("slug"),
        "environment": ask.body.get("environment", "development"),
        "allowed_origins": ask.body.get("allowed_origins", []),
        "allowed_redirects": ask.body.get("allowed_redirects", []),
        "settings": SETTINGS | ask.body.get("settings", {}),
        "metadata": ask.body.get("metadata", {}),
        "version": 1,
        "created_at": now,
        "updated_at": now,
    }
    tenant.projects[project["id"]] = project
    tenant.log.append(ask.event("project.created", project["id"]))
    return Said(201, project, created=project["id"])


def _check_slug(tenant: Tenant, slug: str, but: str = "") -> None:
    if slug and any(each["slug"] == slug for each in tenant.projects.values() if each["id"] != but):
        raise Refused("slug_taken")


def find_all(tenant: Tenant, ask: Ask) -> Said:
    filters = {
        "q": lambda row, q: contains(q, row["name"], row["slug"]),
        "environment": lambda row, environment: row["environment"] == environment,
    }
    rows = chosen(tenant.projects.values(), ask, filters)
    return page(tenant.cursors, ask, "projects", rows)


def find(tenant: Tenant, ask: Ask) -> Said:
    return Said(body=named(tenant.projects, *ask.ids))


def change(tenant: Tenant, ask: Ask) -> Said:
    project = named(tenant.projects, *ask.ids)
    check_version(ask, project)
    if "settings" in ask.body:
        # A setting that is taken away is at its default.
        ask.body = ask.body | {"settings": _defaulted(ask.body["settings"])}
    after, changes = patched(ask, project, cleaned)
    if not changes:
        return Said(body=project)
    _check_slug(tenant, after["slug"], but=after["id"])
    project = moved_on(ask, after)
    tenant.projects[project["id"]] = project
    tenant.log.append(ask.event("project.updated", project["id"], changes))
    return Said(body=project)


def _defaulted(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: SETTINGS[name] if value is None else value for name, value in settings.items()}


def remove(tenant: Tenant, ask: Ask) -> Said:
    project = named(tenant.projects, *ask.ids)
    check_version(ask, project)
    if ask.dry_run:
        return Said(body={"would_delete": {"api_keys": 0, "signing_keys": 2}})
    del tenant.projects[project["id"]]
    tenant.gone.append(project["id"])
    tenant.log.append(ask.event("project.deleted", project["id"]))
    return Said(204)


_ALL, _ONE = "/v1/admin/projects", "/v1/admin/projects/{id}"
ROUTES = [
    Route("POST", _ALL, create),
    Route("GET", _ALL, find_all),
    Route("GET", _ONE, find),
    Route("PATCH", _ONE, change),
    Route("DELETE", _ONE, remove),
]
