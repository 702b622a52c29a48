"""Section 5 of the contract: invitations. None expires within a test: an hour is the least."""

from datetime import timedelta

from support.model import members, users
from support.model.lists import chosen, page
from support.model.rules import clean, normal_email
from support.model.words import Ask, Refused, Said, Sometime
from support.model.world import Route, Row, Tenant, World, named

WEEK = 604_800


def create(tenant: Tenant, ask: Ask) -> Said:
    organization = named(tenant.organizations, *ask.ids)
    email = normal_email(ask.body["email"])
    if any(_is(email, tenant.users[each["user_id"]]) for each in tenant.of(organization["id"])):
        raise Refused("already_member")
    if any(
        _is(email, each) and each["status"] == "pending"
        for each in tenant.invited(organization["id"])
    ):
        raise Refused("invitation_pending")
    row = {
        "id": ask.told.id("inv"),
        "email": email,
        "role": ask.body.get("role", "member"),
        "permissions": ask.body.get("permissions", []),
        "status": "pending",
        "invited_by": ask.actor[1],
        "created_at": ask.told.now("created_at"),
        "accepted_at": None,
        "lifetime": ask.body.get("expires_in", WEEK),
    }
    tenant.invitations[organization["id"], row["id"]] = row
    row["expires_at"] = _expiry(ask, row)
    tenant.log.append(ask.event("invitation.created", row["id"]))
    return Said(201, _issued(tenant, ask, row, organization["id"]), created=row["id"])


def _is(email: str, row: Row) -> bool:
    return bool(row["email"].lower() == email.lower())


def _expiry(ask: Ask, row: Row) -> str:
    """So long after this request."""
    expires_at, lifetime = ask.told.text("expires_at"), timedelta(seconds=row["lifetime"])
    Sometime(*(time + lifetime for time in ask.told.span)).seen(expires_at)
    return expires_at


def _issued(tenant: Tenant, ask: Ask, row: Row, organization_id: str) -> Row:
    """With its token, the only one that is good from now on."""
    token = ask.told.text("token")
    assert token not in tenant.tokens
    tenant.tokens = {
        known: key for known, key in tenant.tokens.items() if key != (organization_id, row["id"])
    }
    tenant.tokens[token] = (organization_id, row["id"])
    return {**_shown(row), "token": token}


def _shown(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "lifetime"}


def find_all(tenant: Tenant, ask: Ask) -> Said:
    organization = named(tenant.organizations, *ask.ids)
    filters = {"status": lambda row, status: row["status"] == status}
    rows = [_shown(row) for row in tenant.invited(organization["id"])]
    return page(tenant.cursors, ask, "invitations", chosen(rows, ask, filters))


def revoke(tenant: Tenant, ask: Ask) -> Said:
    row = named(tenant.invitations, ask.ids)
    if row["status"] == "revoked":
        raise Refused("not_found")
    if row["status"] == "accepted":
        raise Refused("invitation_closed", status=409)
    row["status"] = "revoked"
    tenant.log.append(ask.event("invitation.revoked", row["id"]))
    return Said(204)


def resend(tenant: Tenant, ask: Ask) -> Said:
    row = named(tenant.invitations, ask.ids)
    if row["status"] != "pending":
        raise Refused("invitation_closed", status=409)
    row["expires_at"] = _expiry(ask, row)
    tenant.log.append(ask.event("invitation.resent", row["id"]))
    return Said(200, _issued(tenant, ask, row, ask.ids[0]))


def accept(world: World, ask: Ask) -> Said:
    """Whoever has the token; the user is made if the email is new, verified by having it."""
    tenant, key = next(
        (
            (tenant, tenant.tokens[ask.body["token"]])
            for tenant in world.tenants.values()
            if ask.body["token"] in tenant.tokens
        ),
        (None, None),
    )
    row = tenant.invitations.get(key) if tenant and key else None
    if tenant is None or key is None or row is None or row["status"] != "pending":
        raise Refused("invitation_closed", status=410)
    if tenant.shown["status"] == "suspended":
        raise Refused("tenant_suspended")
    organization = tenant.organizations[key[0]]
    user = next((each for each in tenant.users.values() if _is(row["email"], each)), None)
    if user is not None and user["status"] == "suspended":
        raise Refused("user_suspended")
    members.check_room(tenant, organization, None if user is None else user["id"])
    user_id = ask.told.id("usr", "member", "user_id") if user is None else user["id"]
    ask.actor = ("user", user_id)
    if user is None:
        tenant.users[user_id] = _new_user(ask, row, user_id)
        tenant.log.append(ask.event("user.created", user_id))
    row |= {"status": "accepted", "accepted_at": ask.told.sometime()}
    tenant.log.append(ask.event("invitation.accepted", row["id"], people=(user_id,)))
    given = {name: row[name] for name in ("role", "permissions")}
    now = ask.told.now("member", "joined_at")
    member = members.join(tenant, ask, organization, user_id, given, now)
    body = {"organization_id": organization["id"], "member": members.shown(tenant, member)}
    return Said(200, body)


def _new_user(ask: Ask, row: Row, user_id: str) -> Row:
    name = ask.body.get("name")
    given = {
        "email": row["email"],
        "email_verified": True,
        "name": None if name is None else clean(name),
    }
    return users.new(given, user_id, ask.told.sometime())


_ALL = "/v1/admin/organizations/{id}/invitations"
_ONE = _ALL + "/{inv_id}"
ROUTES = [
    Route("POST", _ALL, create),
    Route("GET", _ALL, find_all),
    Route("DELETE", _ONE, revoke),
    Route("POST", _ONE + "/resend", resend),
    Route("POST", "/v1/invitations/accept", accept, "anyone"),
]
