"""What a writer may do next to what is its own; each answers a write, or None if it cannot be."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from support.api import Api
from support.fire.writes import Effect, Row, Write

ENOUGH = {"organizations": 10, "users": 12, "projects": 5, "webhooks": 2}
PATTERNS = ("member.*", "project.*", "webhook.*", "user.created")
OWNER = "owner"
"""The mark of a member that came with its organization, and stays with it."""

_numbers = count(1)


@dataclass
class Own:
    """A writer's rows with their marks: `free`, or `doubtful` by a write that nobody answered."""

    api: Api
    name: str
    chance: random.Random
    hook_url: str
    free: dict[Row, str] = field(default_factory=dict)
    doubtful: set[Row] = field(default_factory=set)
    deleted: list[Row] = field(default_factory=list)

    def some(self, *kinds: str, but: str | None = None) -> str | None:
        """The identifier of a free row of these kinds, chosen by chance."""
        found = [row[1] for row, mark in self.free.items() if row[0] in kinds and mark != but]
        return self.chance.choice(found) if found else None

    def memberships(self, identifier: str) -> list[Row] | None:
        """Those of an organization or a user; None when one of them is in doubt."""
        if any(row[0] == "members" and identifier in row[1] for row in self.doubtful):
            return None
        return [row for row in self.free if row[0] == "members" and identifier in row[1]]

    def write(self, method: str, path: str, body: Any, expected: int, **known: Any) -> Write:
        number = known.pop("number", None) or next(_numbers)
        return Write(number, self.api, method, "/v1/admin" + path, body, expected, **known)


def next_write(own: Own) -> Write:
    """Any that can be, by chance."""
    while True:
        if (write := own.chance.choice(_CHANGES)(own)) is not None:
            return write


def create(own: Own) -> Write | None:
    """A resource; an organization with an owner, where there is a user."""
    wanted = [kind for kind, enough in ENOUGH.items() if _count(own, kind) < enough]
    if not wanted:
        return None
    kind, number = own.chance.choice(wanted), next(_numbers)
    mark = f"{own.name} w{number}"
    slug = mark.replace(" ", "-")
    body: dict[str, Any] = {"name": mark, "slug": slug}
    if kind == "users":
        body = {"name": mark, "email": f"{slug}@example.com"}
    if kind == "webhooks":
        body = {"description": mark, "url": f"{own.hook_url}/{slug}"}
        body["events"] = [own.chance.choice(PATTERNS)]
    owner = own.some("users") if kind == "organizations" else None
    if owner is not None:
        body["owner_id"] = owner
    action = f"{kind[:-1]}.created"
    actions = (action,) if owner is None else (action, "member.added")

    def effect(made: Any) -> Effect:
        if owner is None:
            return Effect(((action, made["id"]),), {(kind, made["id"]): mark})
        member = ("members", f"{made['id']}/{owner}")
        events = ((action, made["id"]), ("member.added", owner))
        return Effect(events, {(kind, made["id"]): mark, member: OWNER})

    touched = () if owner is None else (("users", owner),)
    known = {"number": number, "touched": touched, "actions": actions, "mark": mark}
    return own.write("POST", f"/{kind}", body, 201, effect=effect, **known)


def listen(own: Own) -> Write:
    """A webhook that hears all; it is nobody's to change."""
    number = next(_numbers)
    mark = f"all w{number}"
    body = {"description": mark, "url": f"{own.hook_url}/all-{number}", "events": ["*"]}

    def effect(made: Any) -> Effect:
        return Effect((("webhook.created", made["id"]),), {("webhooks", made["id"]): mark})

    known = {"number": number, "actions": ("webhook.created",), "mark": mark, "effect": effect}
    return own.write("POST", "/webhooks", body, 201, **known)


def change(own: Own) -> Write | None:
    kind = own.chance.choice(list(ENOUGH))
    if (found := own.some(kind)) is None:
        return None
    number = next(_numbers)
    mark = f"{own.name} w{number}"
    field_name = "description" if kind == "webhooks" else "name"
    known = _one_event(f"{kind[:-1]}.updated", found, (kind, found), mark)
    return own.write(
        "PATCH", f"/{kind}/{found}", {field_name: mark}, 200, number=number, mark=mark, **known
    )


def join(own: Own) -> Write | None:
    """A member; refused where the user is one already."""
    organization, user = own.some("organizations"), own.some("users")
    if organization is None or user is None:
        return None
    number, member = next(_numbers), ("members", f"{organization}/{user}")
    if member in own.doubtful:
        return None
    mark = f"w{number}:read"
    path, body = f"/organizations/{organization}/members", {"user_id": user, "permissions": [mark]}
    touched: tuple[Row, ...] = (("organizations", organization), ("users", user))
    if member in own.free:
        return own.write("POST", path, body, 409, number=number, touched=(*touched, member))
    known = _one_event("member.added", user, member, mark) | {"touched": touched}
    return own.write("POST", path, body, 201, number=number, mark=mark, **known)


def change_member(own: Own) -> Write | None:
    if (member := own.some("members", but=OWNER)) is None:
        return None
    organization, user = member.split("/")
    number = next(_numbers)
    mark = f"w{number}:read"
    known = _one_event("member.updated", user, ("members", member), mark)
    path = f"/organizations/{organization}/members/{user}"
    body = {"permissions": [mark]}
    return own.write("PATCH", path, body, 200, number=number, mark=mark, **known)


def leave(own: Own) -> Write | None:
    if (member := own.some("members", but=OWNER)) is None:
        return None
    organization, user = member.split("/")
    row = ("members", member)
    known = _one_event("member.removed", user, row, None)
    path = f"/organizations/{organization}/members/{user}"
    return own.write("DELETE", path, None, 204, gone=row, **known)


def delete(own: Own) -> Write | None:
    """A resource with all its memberships, each of which ends with an event."""
    kind = own.chance.choice(list(ENOUGH))
    if (found := own.some(kind)) is None or (members := own.memberships(found)) is None:
        return None
    row = (kind, found)
    users = [member[1].split("/")[1] for member in members]
    events = (*(("member.removed", user) for user in users), (f"{kind[:-1]}.deleted", found))
    effect = Effect(events, dict.fromkeys([row, *members]))
    return own.write(
        "DELETE",
        f"/{kind}/{found}" + ("?force=true" if kind == "users" else ""),
        None,
        204,
        touched=(row, *members),
        actions=tuple(action for action, _ in events),
        gone=row,
        effect=lambda _: effect,
    )


def refused(own: Own) -> Write | None:
    """What the product must refuse: each time with the same answer."""
    organization = own.some("organizations")
    gone = [row for row in own.deleted if row[0] in ENOUGH]
    if organization is None or not gone:
        return None
    kind, identifier = own.chance.choice(gone)
    if kind == "users":
        path = f"/organizations/{organization}/members"
        touched = (("organizations", organization),)
        return own.write("POST", path, {"user_id": identifier}, 422, touched=touched)
    method, body = own.chance.choice([("DELETE", None), ("PATCH", {})])
    return own.write(method, f"/{kind}/{identifier}", body, 404)


def _one_event(action: str, resource: str, row: Row, mark: str | None) -> dict[str, Any]:
    effect = Effect(((action, resource),), {row: mark})
    return {"touched": (row,), "actions": (action,), "effect": lambda _: effect}


def _count(own: Own, kind: str) -> int:
    return sum(row[0] == kind for row in own.free)


_CHANGES: list[Callable[[Own], Write | None]] = [
    *[create] * 4,
    *[change] * 4,
    *[join] * 3,
    *[change_member] * 2,
    leave,
    *[delete] * 2,
    refused,
]
