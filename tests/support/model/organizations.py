"""Section 5 of the contract: organizations."""

from support.model.lists import chosen, page
from support.model.rules import check_version, clean, cleaned, contains, moved_on, patched, slug_of
from support.model.words import Ask, Refused, Said
from support.model.world import Route, Tenant, named


def create(tenant: Tenant, ask: Ask) -> Said:
    name, owner = clean(ask.body["name"]), ask.body.get("owner_id")
    slug = ask.body.get("slug") or slug_of(name)
    refusals = _slug_taken(tenant, slug)
    if owner is not None and owner not in tenant.users:
        refusals.append("validation_failed")
    if refusals:
        raise Refused(*refusals)
    now = ask.told.now("created_at")
    organization = {
        "id": ask.told.id("org"),
        "name": name,
        "slug": slug or ask.told.text("slug"),
        "logo_url": ask.body.get("logo_url"),
        "settings": ask.body.get("settings", {}),
        "metadata": ask.body.get("metadata", {}),
        "max_members": ask.body.get("max_members"),
        "member_count": 0 if owner is None else 1,
        "version": 1,
        "created_at": now,
        "updated_at": now,
    }
    tenant.organizations[organization["id"]] = organization
    tenant.log.append(ask.event("organization.created", organization["id"]))
    if owner is not None:
        tenant.members[organization["id"], owner] = {
            "user_id": owner,
            "role": "owner",
            "permissions": [],
            "joined_at": ask.told.sometime(),
        }
        tenant.log.append(ask.event("member.added", owner))
    return Said(201, organization, created=organization["id"])


def _slug_taken(tenant: Tenant, slug: str, but: str = "") -> list[str]:
    others = [each for each in tenant.organizations.values() if each["id"] != but]
    return ["slug_taken"] if slug and any(each["slug"] == slug for each in others) else []


def find_all(tenant: Tenant, ask: Ask) -> Said:
    filters = {
        "q": lambda row, q: contains(q, row["name"], row["slug"]),
        "user_id": lambda row, user_id: (row["id"], user_id) in tenant.members,
    }
    rows = chosen(tenant.organizations.values(), ask, filters)
    return page(tenant.cursors, ask, "organizations", rows)


def find(tenant: Tenant, ask: Ask) -> Said:
    return Said(body=named(tenant.organizations, *ask.ids))


def change(tenant: Tenant, ask: Ask) -> Said:
    organization = named(tenant.organizations, *ask.ids)
    check_version(ask, organization)
    after, changes = patched(ask, organization, cleaned)
    if not changes:
        return Said(body=organization)
    refusals = _slug_taken(tenant, after["slug"], but=after["id"])
    if after["max_members"] is not None and after["max_members"] < after["member_count"]:
        refusals.append("member_limit_reached")
    if refusals:
        raise Refused(*refusals)
    organization = moved_on(ask, after)
    tenant.organizations[organization["id"]] = organization
    tenant.log.append(ask.event("organization.updated", organization["id"], changes))
    return Said(body=organization)


def remove(tenant: Tenant, ask: Ask) -> Said:
    """Memberships end and pending invitations are revoked, each with its event."""
    organization = named(tenant.organizations, *ask.ids)
    check_version(ask, organization)
    members = tenant.of(organization["id"])
    pending = [row for row in tenant.invited(organization["id"]) if row["status"] == "pending"]
    if ask.dry_run:
        counts = {"memberships": len(members), "invitations": len(pending)}
        return Said(body={"would_delete": counts})
    tenant.log += [ask.event("member.removed", each["user_id"]) for each in members]
    tenant.log += [ask.event("invitation.revoked", each["id"]) for each in pending]
    tenant.log.append(ask.event("organization.deleted", organization["id"]))
    for member in members:
        del tenant.members[organization["id"], member["user_id"]]
    for row in tenant.invited(organization["id"]):
        del tenant.invitations[organization["id"], row["id"]]
        tenant.gone.append(row["id"])
    del tenant.organizations[organization["id"]]
    tenant.gone.append(organization["id"])
    return Said(204)


_ALL, _ONE = "/v1/admin/organizations", "/v1/admin/organizations/{id}"
ROUTES = [
    Route("POST", _ALL, create),
    Route("GET", _ALL, find_all),
    Route("GET", _ONE, find),
    Route("PATCH", _ONE, change),
    Route("DELETE", _ONE, remove),
]
