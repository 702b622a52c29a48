"""Section 5 of the contract: members. An organization that has an owner keeps one."""

from support.model.lists import chosen, page
from support.model.rules import cleaned, contains, patched
from support.model.users import owned_alone
from support.model.words import Ask, Refused, Said
from support.model.world import Route, Row, Tenant, named


def shown(tenant: Tenant, member: Row) -> Row:
    """The membership beside its user as the user is now."""
    user = tenant.users[member["user_id"]]
    return {**member, "user": {name: user[name] for name in ("id", "email", "name")}}


def add(tenant: Tenant, ask: Ask) -> Said:
    organization = named(tenant.organizations, *ask.ids)
    user_id = ask.body["user_id"]
    if user_id not in tenant.users:
        raise Refused("validation_failed", field="user_id")
    check_room(tenant, organization, user_id)
    given = {name: ask.body[name] for name in ("role", "permissions") if name in ask.body}
    member = join(tenant, ask, organization, user_id, given, ask.told.now("joined_at"))
    return Said(201, shown(tenant, member), created=user_id)


def check_room(tenant: Tenant, organization: Row, user_id: str | None) -> None:
    refusals = []
    if (organization["id"], user_id) in tenant.members:
        refusals.append("already_member")
    if organization["member_count"] == organization["max_members"]:
        refusals.append("member_limit_reached")
    if refusals:
        raise Refused(*refusals)


def join(tenant: Tenant, ask: Ask, organization: Row, user_id: str, given: Row, now: str) -> Row:
    member = {"user_id": user_id, "role": "member", "permissions": [], "joined_at": now, **given}
    tenant.members[organization["id"], user_id] = member
    organization["member_count"] += 1
    tenant.log.append(ask.event("member.added", user_id))
    return member


def find_all(tenant: Tenant, ask: Ask) -> Said:
    organization = named(tenant.organizations, *ask.ids)
    filters = {
        "role": lambda row, role: row["role"] == role,
        "q": lambda row, q: contains(q, row["user"]["email"], row["user"]["name"]),
    }
    rows = [shown(tenant, member) for member in tenant.of(organization["id"])]
    rows = chosen(rows, ask, filters)
    return page(tenant.cursors, ask, "members", rows, key="user_id", time="joined_at")


def change(tenant: Tenant, ask: Ask) -> Said:
    member = named(tenant.members, ask.ids)
    after, changes = patched(ask, member, cleaned)
    if not changes:
        return Said(body=shown(tenant, member))
    if after["role"] != "owner":
        _keep_an_owner(tenant, *ask.ids)
    tenant.members[ask.ids[0], ask.ids[1]] = after
    tenant.log.append(ask.event("member.updated", member["user_id"], changes))
    return Said(body=shown(tenant, after))


def _keep_an_owner(tenant: Tenant, organization_id: str, user_id: str) -> None:
    if organization_id in owned_alone(tenant, user_id):
        raise Refused("last_owner")


def remove(tenant: Tenant, ask: Ask) -> Said:
    named(tenant.members, ask.ids)
    organization_id, user_id = ask.ids
    _keep_an_owner(tenant, organization_id, user_id)
    del tenant.members[organization_id, user_id]
    tenant.organizations[organization_id]["member_count"] -= 1
    tenant.log.append(ask.event("member.removed", user_id))
    return Said(204)


_ALL = "/v1/admin/organizations/{id}/members"
_ONE = _ALL + "/{user_id}"
ROUTES = [
    Route("POST", _ALL, add),
    Route("GET", _ALL, find_all),
    Route("PATCH", _ONE, change),
    Route("DELETE", _ONE, remove),
]
