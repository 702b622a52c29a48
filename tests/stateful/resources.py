"""What every resource has: create, get, list, update and delete, described by data."""

from collections.abc import Callable
from typing import Any

from stateful.model import ApiError, Expected, Ids, Operations, Request, Row, raise_conflicts
from stateful.strategies import FIELDS
from stateful.values import contains, merge_patch, moment, new_id, normalized, same_json, slug_of


def same_email(row: Row, email: str) -> bool:
    return bool(row["email"].lower() == email.lower())


def last_owner(request: Request) -> list[str]:
    """The code, if an organization would be left without an owner who is not suspended: the
    member's, or any one.
    """
    *organization, user_id = request.ids
    rows, users = request.account.rows["members"], request.account.rows["users"]
    owners = [ids for ids, row in rows.items() if row["role"] == "owner"]
    staying = {ids[0] for ids in owners if ids[1] != user_id and _is_active(users[ids[1:]])}
    alone = [ids for ids in owners if ids[1] == user_id and ids[0] not in staying]
    left = [ids for ids in alone if organization in ([], [ids[0]])]
    return ["last_owner"] if left and request.query.get("force") != "true" else []


def _is_active(user: Row) -> bool:
    return bool(user["status"] == "active")


FILTERS: dict[str, Callable[[dict[Ids, Row], Row, str], bool]] = {
    "email": lambda _, row, value: same_email(row, normalized("email", value)),
    "organization_id": lambda members, row, value: (value, row["id"]) in members,
    "user_id": lambda members, row, value: (row["id"], value) in members,
    "created_after": lambda _, row, value: moment(row["created_at"]) >= moment(value),
    "created_before": lambda _, row, value: moment(row["created_at"]) <= moment(value),
}
"""By members, row and value. What else is a field of the row must be equal."""


class Resource:
    """Each is a subclass with what is its own."""

    path = ""  # {} stands for an identifier
    prefix = ""  # of the identifiers
    defaults: Row = {}  # of new rows, where they are not the first of the values in FIELDS
    unique: tuple[str, ...] = ()  # in any case, but external ids exactly
    searched: tuple[str, ...] = ("name", "slug")
    searched_by_word = False  # for one or two letters
    key, created_at = "id", "created_at"
    created, deleted = "created", "deleted"  # actions
    status_actions: dict[str, str] = {}  # of updates that set a status
    preview: dict[str, int] = {}  # what a dry run of a deletion counts, or has always

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    def operations(self) -> Operations:
        return {
            f"POST {self.path}": self.create,
            f"GET {self.path}": self.get_page,
            f"GET {self.path}/{{}}": self.get,
            f"PATCH {self.path}/{{}}": self.update,
            f"DELETE {self.path}/{{}}": self.delete,
        }

    def rows(self, request: Request) -> dict[Ids, Row]:
        return request.account.rows[self.name]

    def find(self, request: Request) -> Row:
        row = request.account.find(self.name, request.ids)
        tags = [tag.strip(' "') for tag in request.headers.get("if_match", "*").split(",")]
        if "version" in row and tags != ["*"] and str(row["version"]) not in tags:
            raise ApiError(412, "version_mismatch")
        return row

    def show(self, request: Request, ids: Ids, row: Row) -> Row:
        """As lists and writes show it."""
        return row

    def record(self, request: Request, action: str, ids: Ids, changes: Row | None = None) -> None:
        request.record_event(f"{self.name[:-1]}.{action}", ids[-1], changes)

    def conflicts(self, request: Request, row: Row) -> list[str]:
        """The codes of what forbids such a row."""
        others = [other for ids, other in self.rows(request).items() if ids != request.ids]
        taken = set().union(*map(self.unique_values, others))
        return [f"{name}_taken" for name, _ in self.unique_values(row) & taken]

    def unique_values(self, row: Row) -> set[tuple[str, str]]:
        values = {(name, row[name]) for name in self.unique if row[name]}
        return {(name, value if name == "external_id" else value.lower()) for name, value in values}

    def create(self, request: Request) -> Expected:
        row = self.with_server_fields(
            request, self.new_row(request, request.body), request.response_body
        )
        ids = (*request.ids, row[self.key])
        self.add(request, ids, row)
        return Expected(201, self.show(request, ids, row), created_id=ids[-1])

    def new_row(self, request: Request, given: Row) -> Row:
        row = {name: values[0] for name, values in FIELDS[self.name].items()} | self.defaults
        row |= {name: self.stored(name, given[name]) for name in row.keys() & given}
        if "slug" in row:
            row["slug"] = given.get("slug") or slug_of(row["name"])
        raise_conflicts(self.conflicts(request, row))
        return row

    def stored(self, field: str, value: Any) -> Any:
        if isinstance(value, dict):
            return self.defaults.get(field, {}) | merge_patch({}, value)
        return normalized(field, value)

    def with_server_fields(self, request: Request, row: Row, received: Row) -> Row:
        """With what the product alone decides; a time may be None, if it is not shown."""
        if "slug" in row:
            row["slug"] = row["slug"] or received["slug"]
        id_, now = new_id(self.prefix, received["id"]), request.time(received["created_at"])
        return {"id": id_, **row, "version": 1, "created_at": now, "updated_at": now}

    def add(self, request: Request, ids: Ids, row: Row) -> None:
        self.rows(request)[ids] = row
        self.record(request, self.created, ids)

    def get(self, request: Request) -> Expected:
        row = self.find(request)
        if "if_none_match" in request.headers:  # with the ETag of the response before
            return Expected(304)
        return Expected(body=self.show(request, request.ids, row))

    def patch(self, request: Request, row: Row) -> Row:
        """The body, and what follows from it."""
        return request.body

    def update(self, request: Request) -> Expected:
        row = self.find(request)
        after, changes = dict(row), {}
        for name, patch in self.patch(request, row).items():
            after[name] = self.stored(name, merge_patch(row[name], patch))
            if not same_json(row[name], after[name]):
                changes[name] = {"from": row[name], "to": after[name]}
        if changes:
            raise_conflicts(self.conflicts(request, after))
            if "version" in row:
                after["version"] += 1
                after["updated_at"] = request.time(request.response_body["updated_at"])
            self.rows(request)[request.ids] = after
            status = changes.get("status", {}).get("to", "")
            self.record(request, self.status_actions.get(status, "updated"), request.ids, changes)
        return Expected(body=self.show(request, request.ids, after))

    def delete(self, request: Request) -> Expected:
        """Memberships end and pending invitations are revoked, each with its event."""
        row, rows = self.find(request), request.account.rows
        members, invitations = self.dependents(request, row)
        pending = [ids for ids in invitations if rows["invitations"][ids]["status"] == "pending"]
        raise_conflicts(last_owner(request))
        if request.query.get("dry_run") == "true":
            counts = {"memberships": len(members), "invitations": len(pending)}
            counts["projects"] = len(rows["projects"])
            preview = {name: counts.get(name, count) for name, count in self.preview.items()}
            return Expected(body={"would_delete": preview})
        for ids in members:
            request.record_event("member.removed", ids[-1])
            del rows["members"][ids]
        for ids in pending:
            request.record_event("invitation.revoked", ids[-1])
        for ids in invitations:
            del rows["invitations"][ids]
        del self.rows(request)[request.ids]
        self.record(request, self.deleted, request.ids)
        return Expected(204, may_be_accepted=self.name == "tenants")

    def dependents(self, request: Request, row: Row) -> tuple[list[Ids], list[Ids]]:
        """Members and invitations of an organization; of a user, all invitations of the email and
        of former ones.
        """
        if len(request.ids) > 1:
            return [], []
        (id_,), rows, email = request.ids, request.account.rows, row.get("email", "")
        members = [ids for ids in rows["members"] if id_ in ids]
        invitations = rows["invitations"].items()
        return members, [
            ids
            for ids, it in invitations
            if id_ in ids or it["_user"] == id_ or same_email(it, email)
        ]

    def get_page(self, request: Request) -> Expected:
        """By number or by cursor, with the total of all pages."""
        query, rows = request.query, {}
        for ids, row in self.rows(request).items():
            shown = self.show(request, ids, row)
            matches = all(self.matches(request, shown, *each) for each in query.items())
            if ids[:-1] == request.ids and matches:
                rows[ids] = shown
        sort, limit = query.get("sort", "-" + self.created_at), int(query.get("limit", "50"))
        field, descending = sort.lstrip("-"), sort.startswith("-")
        positions = [(_sort_key(field, row), ids) for ids, row in rows.items()]
        positions.sort(reverse=descending)
        number = int(query.get("page", "1"))
        filters = {name: query[name] for name in query.keys() - {"page", "limit", "cursor"}}
        bound_to = (request.caller, request.path, filters)
        if "cursor" in query:
            binding, number, last = request.model.cursors[query["cursor"]]
            if binding != bound_to:
                raise ApiError(422, "validation_failed", field="cursor")
            positions = [each for each in positions if each != last and (each < last) == descending]
        else:
            positions = positions[(number - 1) * limit :]
        pagination: Row = {"page": number, "limit": limit, "total": len(rows), "total_exact": True}
        pagination["next_cursor"] = None
        if len(positions) > limit:
            pagination["next_cursor"] = cursor = request.response_body["pagination"]["next_cursor"]
            request.model.cursors[cursor] = (bound_to, number + 1, positions[limit - 1])
        page = [rows[ids] for _, ids in positions[:limit]]
        return Expected(body={self.name: page, "pagination": pagination})

    def matches(self, request: Request, row: Row, parameter: str, value: str) -> bool:
        """Whether a parameter of the query lets a row into the list."""
        if parameter == "q":
            texts, by_word = row | row.get("user", {}), self.searched_by_word and len(value) <= 2
            return contains(value, [texts[name] for name in self.searched], by_word=by_word)
        if parameter in FILTERS:
            return FILTERS[parameter](request.account.rows["members"], row, value)
        return bool(row.get(parameter, value) == value)


def _sort_key(field: str, row: Row) -> Any:
    if field.endswith("_at"):
        return moment(row[field] or "1970-01-01T00:00:00Z")
    return row[field].lower() if field == "email" else row[field]
