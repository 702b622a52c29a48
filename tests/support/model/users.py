"""Section 4 of the contract: users, and what goes with one who is deleted."""

from typing import Any

from support.model.lists import chosen, page
from support.model.rules import (
    begins,
    check_version,
    cleaned,
    contains,
    moved_on,
    normal_email,
    patched,
)
from support.model.words import Ask, Refused, Said, Sometime, moment
from support.model.world import Route, Row, Tenant, named


def create(tenant: Tenant, ask: Ask) -> Said:
    given = {name: cleaned(name, value) for name, value in ask.body.items()}
    _check_taken(tenant, given)
    user = new(given, ask.told.id("usr"), ask.told.now("created_at"))
    tenant.users[user["id"]] = user
    tenant.log.append(ask.event("user.created", user["id"]))
    return Said(201, user, created=user["id"])


def new(given: Row, user_id: str, now: str | Sometime) -> Row:
    return {
        "id": user_id,
        "email": given["email"],
        "email_verified": given.get("email_verified", False),
        "username": given.get("username"),
        "name": given.get("name"),
        "external_id": given.get("external_id"),
        "status": given.get("status", "active"),
        "metadata": given.get("metadata", {}),
        "last_sign_in_at": None,
        "version": 1,
        "created_at": now,
        "updated_at": now,
    }


def _check_taken(tenant: Tenant, given: Row, but: str = "") -> None:
    """Emails and usernames without regard to case."""
    others = [each for each in tenant.users.values() if each["id"] != but]
    taken = [
        f"{name}_taken"
        for name in ("email", "username", "external_id")
        if given.get(name) is not None
        and any(_key(name, each) == _key(name, given) for each in others)
    ]
    if taken:
        raise Refused(*taken)


def _key(name: str, row: Row) -> Any:
    value = row[name]
    return value.lower() if value is not None and name != "external_id" else value


def find_all(tenant: Tenant, ask: Ask) -> Said:
    def searched(row: Row, q: str) -> bool:
        fields = (row["email"], row["username"], row["name"], row["external_id"])
        return (contains if len(q) > 2 else begins)(q, *fields)

    filters = {
        "q": searched,
        "status": lambda row, status: row["status"] == status,
        "email": lambda row, email: row["email"].lower() == normal_email(email).lower(),
        "external_id": lambda row, external_id: row["external_id"] == external_id,
        "organization_id": lambda row, each: (each, row["id"]) in tenant.members,
        "created_after": lambda row, time: moment(row["created_at"]) >= moment(time),
        "created_before": lambda row, time: moment(row["created_at"]) <= moment(time),
    }
    rows = chosen(tenant.users.values(), ask, filters)
    return page(tenant.cursors, ask, "users", rows)


def find(tenant: Tenant, ask: Ask) -> Said:
    user = named(tenant.users, *ask.ids)
    organizations = [
        {
            **{name: tenant.organizations[each][name] for name in ("id", "name", "slug")},
            **{name: member[name] for name in ("role", "permissions", "joined_at")},
        }
        for (each, user_id), member in reversed(tenant.members.items())
        if user_id == user["id"]
    ]
    return Said(body={**user, "sessions": [], "organizations": organizations})


def change(tenant: Tenant, ask: Ask) -> Said:
    user = named(tenant.users, *ask.ids)
    check_version(ask, user)
    after, changes = patched(ask, user, cleaned)
    if not changes:
        return Said(body=user)
    _check_taken(tenant, after, but=user["id"])
    user = moved_on(ask, after)
    tenant.users[user["id"]] = user
    action = {"suspended": "user.suspended", "active": "user.reactivated"}.get(
        changes.get("status", {}).get("to"), "user.updated"
    )
    tenant.log.append(ask.event(action, user["id"], changes))
    return Said(body=user)


def owned_alone(tenant: Tenant, user_id: str) -> list[str]:
    """The organizations that have no owner but this user."""
    owners: dict[str, set[str]] = {}
    for (organization_id, each), member in tenant.members.items():
        if member["role"] == "owner":
            owners.setdefault(organization_id, set()).add(each)
    return [organization_id for organization_id, each in owners.items() if each == {user_id}]


def remove(tenant: Tenant, ask: Ask) -> Said:
    """Memberships go, and every invitation of the email; those pending are revoked."""
    user = named(tenant.users, *ask.ids)
    check_version(ask, user)
    memberships = [key for key in tenant.members if key[1] == user["id"]]
    invited = [
        key
        for key, row in tenant.invitations.items()
        if row["email"].lower() == user["email"].lower()
    ]
    pending = [key for key in invited if tenant.invitations[key]["status"] == "pending"]
    if ask.dry_run:
        counts = {"memberships": len(memberships), "sessions": 0, "invitations": len(pending)}
        return Said(body={"would_delete": counts})
    if owned_alone(tenant, user["id"]) and ask.query.get("force") != "true":
        raise Refused("last_owner")
    for key in memberships:
        del tenant.members[key]
        tenant.organizations[key[0]]["member_count"] -= 1
        tenant.log.append(ask.event("member.removed", user["id"]))
    tenant.log += [ask.event("invitation.revoked", key[1]) for key in pending]
    for key in invited:
        del tenant.invitations[key]
        tenant.gone.append(key[1])
    del tenant.users[user["id"]]
    tenant.gone.append(user["id"])
    tenant.log.append(ask.event("user.deleted", user["id"]))
    return Said(204)


def revoke_sessions(tenant: Tenant, ask: Ask) -> Said:
    """Having none is a success too."""
    named(tenant.users, *ask.ids)
    return Said(204)


_ALL, _ONE = "/v1/admin/users", "/v1/admin/users/{id}"
ROUTES = [
    Route("POST", _ALL, create),
    Route("GET", _ALL, find_all),
    Route("GET", _ONE, find),
    Route("PATCH", _ONE, change),
    Route("DELETE", _ONE, remove),
    Route("DELETE", _ONE + "/sessions", revoke_sessions),
]
