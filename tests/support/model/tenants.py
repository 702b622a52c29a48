"""Section 2 of the contract: tenants."""

from support.model.lists import chosen, page
from support.model.rules import check_version, clean, cleaned, contains, moved_on, patched, slug_of
from support.model.words import Ask, Refused, Said
from support.model.world import OPERATOR, Route, Row, Tenant, World


def create(world: World, ask: Ask) -> Said:
    name = clean(ask.body["name"])
    slug = ask.body.get("slug") or slug_of(name)
    _check_slug(world, slug)
    now = ask.told.now("tenant", "created_at")
    shown = {
        "id": ask.told.id("ten", "tenant", "id"),
        "name": name,
        "slug": slug or ask.told.text("tenant", "slug"),
        "status": "active",
        "settings": ask.body.get("settings", {}),
        "version": 1,
        "created_at": now,
        "updated_at": now,
    }
    key_id = ask.told.id("key", "api_key", "id")
    world.secrets[shown["id"]] = ask.told.text("api_key", "secret")
    assert ask.told.at("api_key", "scopes") == ["*"]
    tenant = Tenant(shown, key_id, world.cursors)
    world.tenants[shown["id"]] = tenant
    tenant.log += [ask.event("tenant.created", shown["id"]), ask.event("api_key.created", key_id)]
    body = {"tenant": shown, "api_key": ask.told.at("api_key")}
    return Said(201, body, created=shown["id"])


def _check_slug(world: World, slug: str, but: str = "") -> None:
    if slug and any(
        each.shown["slug"] == slug for each in world.tenants.values() if each.shown["id"] != but
    ):
        raise Refused("slug_taken")


def find_all(world: World, ask: Ask) -> Said:
    filters = {
        "q": lambda row, q: contains(q, row["name"], row["slug"]),
        "status": lambda row, status: row["status"] == status,
    }
    rows = [tenant.shown for tenant in world.tenants.values()]
    return page(world.cursors, ask, "tenants", chosen(rows, ask, filters))


def _found(world: World, ask: Ask) -> Tenant:
    """To a tenant there is no other."""
    (tenant_id,) = ask.ids
    own = ask.actor == ("operator", None) or (
        tenant_id in world.tenants and ask.actor[1] == world.tenants[tenant_id].key_id
    )
    if tenant_id not in world.tenants or not own:
        raise Refused("not_found")
    return world.tenants[tenant_id]


def find(world: World, ask: Ask) -> Said:
    return Said(body=_found(world, ask).shown)


def who_am_i(tenant: Tenant, ask: Ask) -> Said:
    body = {
        "tenant": tenant.shown,
        "credential": {
            "id": tenant.key_id,
            "type": "api_key",
            "scopes": ["*"],
            "expires_at": None,
        },
        "root_keys": ask.told.at("root_keys"),
    }
    assert [each["id"] for each in body["root_keys"]] == [tenant.key_id]
    return Said(body=body)


def change(world: World, ask: Ask) -> Said:
    tenant = _found(world, ask)
    if ask.actor[0] != "operator" and ask.body.keys() & {"status", "slug"}:
        raise Refused("insufficient_scope")
    check_version(ask, tenant.shown)
    after, changes = patched(ask, tenant.shown, cleaned)
    if not changes:
        return Said(body=tenant.shown)
    _check_slug(world, after["slug"], but=after["id"])
    tenant.shown = moved_on(ask, after)
    action = {"suspended": "tenant.suspended", "active": "tenant.resumed"}.get(
        changes.get("status", {}).get("to"), "tenant.updated"
    )
    tenant.log.append(ask.event(action, after["id"], changes))
    return Said(body=tenant.shown)


def remove(world: World, ask: Ask) -> Said:
    """Whole in every service, with all that was told of it."""
    tenant = _found(world, ask)
    check_version(ask, tenant.shown)
    if ask.dry_run:
        gone: Row = {"projects": len(tenant.projects), "api_keys": 1}
        return Said(body={"would_delete": gone})
    del world.tenants[tenant.shown["id"]]
    world.gone.append(tenant.shown["id"])
    return Said(204, or_later=True)


_ALL, _ONE = "/v1/admin/tenants", "/v1/admin/tenants/{id}"
ROUTES = [
    Route("POST", _ALL, create, OPERATOR),
    Route("GET", _ALL, find_all, OPERATOR),
    Route("GET", _ONE, find, "world"),
    Route("PATCH", _ONE, change, "world"),
    Route("DELETE", _ONE, remove, OPERATOR),
    Route("GET", "/v1/admin/tenant", who_am_i),
]
