"""Sections 4 and 5 of the contract: users, organizations, their members and invitations."""

from dataclasses import replace

from stateful.model import (
    Account,
    ApiError,
    Expected,
    Ids,
    Operations,
    Request,
    Row,
    raise_conflicts,
)
from stateful.resources import Resource, last_owner, same_email
from stateful.values import normalized


class Users(Resource):
    path, prefix = "/v1/admin/users", "usr"
    defaults = {"last_sign_in_at": None}
    searched = ("email", "username", "name", "external_id")
    unique = ("email", "username", "external_id")
    searched_by_word = True
    status_actions = {"suspended": "suspended", "active": "reactivated"}
    preview = {"memberships": 0, "sessions": 0, "invitations": 0}

    def operations(self) -> Operations:
        return super().operations() | {f"DELETE {self.path}/{{}}/sessions": self.revoke_sessions}

    def get(self, request: Request) -> Expected:
        """With the organizations, the last one joined first."""
        expected, rows = super().get(request), request.account.rows
        organizations = [
            {name: rows["organizations"][ids[:1]][name] for name in ("id", "name", "slug")}
            | {name: member[name] for name in ("role", "permissions", "joined_at")}
            for ids, member in reversed(rows["members"].items())
            if ids[1:] == request.ids
        ]
        more = {"sessions": [], "organizations": organizations, "more": {}}
        return replace(expected, body=expected.body and expected.body | more)

    def patch(self, request: Request, row: Row) -> Row:
        """Another email is unverified."""
        email = normalized("email", request.body.get("email", row["email"]))
        return ({} if same_email(row, email) else {"email_verified": False}) | request.body

    def conflicts(self, request: Request, row: Row) -> list[str]:
        """The last owner is not suspended."""
        before = self.rows(request).get(request.ids, row)
        is_suspended = (before["status"], row["status"]) == ("active", "suspended")
        return super().conflicts(request, row) + (last_owner(request) if is_suspended else [])

    def update(self, request: Request) -> Expected:
        """Invitations to a former email stay the user's."""
        before = self.find(request)
        expected = super().update(request)
        after = request.account.find("users", request.ids)
        for invitation in request.account.rows["invitations"].values():
            if same_email(invitation, before["email"]) and not same_email(after, before["email"]):
                invitation["_user"] = invitation["_user"] or before["id"]
        return expected

    def revoke_sessions(self, request: Request) -> Expected:
        """Having none is a success too."""
        request.account.find("users", request.ids)
        return Expected(204)


class Organizations(Resource):
    path, prefix = "/v1/admin/organizations", "org"
    unique = ("slug",)
    preview = {"memberships": 0, "invitations": 0}

    def show(self, request: Request, ids: Ids, row: Row) -> Row:
        return row | {"member_count": len(ids_within(request.account, "members", ids))}

    def conflicts(self, request: Request, row: Row) -> list[str]:
        codes, owner = super().conflicts(request, row), request.body.get("owner_id")
        if owner is not None and (owner,) not in request.account.rows["users"]:
            codes.append("validation_failed")
        members = ids_within(request.account, "members", request.ids)
        if row["max_members"] is not None and row["max_members"] < len(members):
            codes.append("member_limit_reached")
        return codes

    def add(self, request: Request, ids: Ids, row: Row) -> None:
        super().add(request, ids, row)
        if owner := request.body.get("owner_id"):
            member = {"user_id": owner, "role": "owner", "permissions": []}
            MEMBERS.add(request, (*ids, owner), member | {"joined_at": request.time()})


class Members(Resource):
    """An organization that has an owner keeps one."""

    path = "/v1/admin/organizations/{}/members"
    key, created_at = "user_id", "joined_at"
    created, deleted = "added", "removed"
    searched = ("email", "name")

    def show(self, request: Request, ids: Ids, row: Row) -> Row:
        user = request.account.rows["users"][ids[1:]]
        return row | {"user": {name: user[name] for name in ("id", "email", "name")}}

    def new_row(self, request: Request, given: Row) -> Row:
        user_id = given["user_id"]
        if (user_id,) not in request.account.rows["users"]:
            raise ApiError(422, "validation_failed", field="user_id")
        self.check_room(request.account, request.ids, user_id)
        return {"role": "member", "permissions": []} | given

    def with_server_fields(self, request: Request, row: Row, received: Row) -> Row:
        return row | {"joined_at": request.time(received["joined_at"])}

    def check_room(self, account: Account, organization: Ids, user_id: str) -> None:
        members = ids_within(account, "members", organization)
        codes = ["already_member"] if (*organization, user_id) in members else []
        if account.rows["organizations"][organization]["max_members"] == len(members):
            codes.append("member_limit_reached")
        raise_conflicts(codes)

    def conflicts(self, request: Request, row: Row) -> list[str]:
        return [] if row["role"] == "owner" else last_owner(request)

    def create(self, request: Request) -> Expected:
        expected = super().create(request)
        revoke_pending(request, request.body["user_id"])
        return expected

    def delete(self, request: Request) -> Expected:
        expected = super().delete(request)
        revoke_pending(request, request.ids[-1])
        return expected


class Invitations(Resource):
    """None expires within a test: an hour is the least."""

    path, prefix = "/v1/admin/organizations/{}/invitations", "inv"

    def operations(self) -> Operations:
        return super().operations() | {
            f"POST {self.path}/{{}}/resend": self.resend,
            "POST /v1/invitations/accept": self.accept,
        }

    def conflicts(self, request: Request, row: Row) -> list[str]:
        account, rows = request.account, request.account.rows
        members = [rows["users"][ids[1:]] for ids in ids_within(account, "members", request.ids)]
        if any(same_email(user, row["email"]) for user in members):
            return ["already_member"]
        others = [
            rows["invitations"][ids] for ids in ids_within(account, "invitations", request.ids)
        ]
        statuses = [other["status"] for other in others if same_email(other, row["email"])]
        return ["invitation_pending"] if "pending" in statuses else []

    def with_server_fields(self, request: Request, row: Row, received: Row) -> Row:
        row = super().with_server_fields(request, row, received)
        del row["version"], row["updated_at"]
        row |= {"status": "pending", "invited_by": request.actor[1], "accepted_at": None}
        row["_lifetime"], row["_user"] = row.pop("expires_in"), None
        self.issue_token(request, row)
        return row

    def issue_token(self, request: Request, row: Row) -> None:
        """The only one that is good from now on."""
        token, expires_at = request.response_body["token"], request.response_body["expires_at"]
        assert token not in request.model.tokens
        request.model.tokens.add(token)
        row["_token"] = token
        row["expires_at"] = request.time(expires_at, seconds=row["_lifetime"])

    def show(self, request: Request, ids: Ids, row: Row) -> Row:
        """With its token in the responses to POST alone. A leading _ hides a field."""
        shown = {name: value for name, value in row.items() if not name.startswith("_")}
        return shown | ({"token": row["_token"]} if request.method == "POST" else {})

    def resend(self, request: Request) -> Expected:
        row = self.find(request)
        raise_conflicts(["invitation_closed"] if row["status"] != "pending" else [])
        self.issue_token(request, row)
        self.record(request, "resent", request.ids)
        return Expected(body=self.show(request, request.ids, row))

    def delete(self, request: Request) -> Expected:
        """It stays in the list, revoked."""
        row = self.find(request)
        if row["status"] == "revoked":
            raise ApiError(404, "not_found")
        raise_conflicts(["invitation_closed"] if row["status"] != "pending" else [])
        row["status"] = "revoked"
        self.record(request, "revoked", request.ids)
        return Expected(204)

    def accept(self, request: Request) -> Expected:
        """By whoever has the token. If the email is new, a user is created."""
        row, users = self.find_by_token(request), request.account.rows["users"].values()
        user = next((user for user in users if same_email(user, row["email"])), None)
        if user is not None and user["status"] == "suspended":
            raise ApiError(409, "user_suspended")
        MEMBERS.check_room(request.account, request.ids[:1], user["id"] if user else "")
        received = request.response_body["member"]
        request.actor = ("user", user["id"] if user else received["user_id"])
        if user is None:
            given = {"email": row["email"], "email_verified": row["email_verified"]}
            user = USERS.new_row(request, given | {"name": request.body.get("name")})
            user = USERS.with_server_fields(
                request, user, {"id": received["user_id"], "created_at": None}
            )
            USERS.add(request, (user["id"],), user)
        row |= {"status": "accepted", "accepted_at": request.time(), "_user": user["id"]}
        self.record(request, "accepted", request.ids)
        member = {"user_id": user["id"], "role": row["role"], "permissions": row["permissions"]}
        member, ids = (
            MEMBERS.with_server_fields(request, member, received),
            (request.ids[0], user["id"]),
        )
        MEMBERS.add(request, ids, member)
        shown = MEMBERS.show(request, ids, member)
        return Expected(body={"organization_id": ids[0], "member": shown})

    def find_by_token(self, request: Request) -> Row:
        """A pending invitation. Its tenant becomes the account."""
        for (tenant_id,), tenant in request.model.tenants.items():
            request.account = request.model.accounts[tenant_id]
            for ids, row in self.rows(request).items():
                request.ids = ids
                if (row["status"], row["_token"]) == ("pending", request.body["token"]):
                    if tenant["status"] == "suspended":
                        raise ApiError(403, "tenant_suspended")
                    return row
        raise ApiError(410, "invitation_closed")


def revoke_pending(request: Request, user_id: str) -> None:
    """Whoever became a member, or is none any more, has nothing to accept in the organization."""
    email, rows = request.account.rows["users"][user_id,]["email"], request.account.rows
    for ids in ids_within(request.account, "invitations", request.ids[:1]):
        invitation = rows["invitations"][ids]
        if invitation["status"] == "pending" and same_email(invitation, email):
            invitation["status"] = "revoked"
            request.record_event("invitation.revoked", ids[-1])


def ids_within(account: Account, resource: str, organization: Ids) -> list[Ids]:
    """The identifiers of its members or invitations, the oldest first."""
    return [ids for ids in account.rows[resource] if ids[:1] == organization]


USERS, MEMBERS = Users(), Members()
OPERATIONS = USERS.operations() | MEMBERS.operations()
OPERATIONS |= Organizations().operations() | Invitations().operations()
