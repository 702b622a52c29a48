"""Moves that only look: pages, walks, repeats, and requests whose form is at fault."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from support.model.world import OPERATOR
from support.moves.choosing import ROLES, seldom
from support.moves.invitations import InvitationMoves
from support.moves.projects import ProjectMoves
from support.moves.users import UserMoves

SEARCHES = ["a", "zo", "ADA", "example", "\u00c9", "co", "\u00e9 &", "42", "x1", "ame%", "_", "m"]
BY_NAME = ["name", "-name", "created_at", "-created_at"]
QUERIES: dict[str, dict[str, list[str]]] = {
    "tenants": {"status": ["active", "suspended"], "sort": BY_NAME},
    "projects": {"q": SEARCHES, "environment": ["staging", "development"], "sort": BY_NAME},
    "users": {
        "q": SEARCHES,
        "status": ["active", "suspended"],
        "email": ["ADA@example.COM", "zo\u00cb@example.com", "nobody"],
        "external_id": ["x1", "X1"],
        "sort": ["email", "-email", "last_sign_in_at", "-last_sign_in_at", "created_at"],
    },
    "organizations": {"q": SEARCHES, "sort": BY_NAME},
    "members": {"q": SEARCHES, "role": ROLES},
    "invitations": {"status": ["pending", "accepted", "revoked", "expired"]},
}
LIMITS = ["1", "2", "3", "200"]
FAULTS: list[tuple[str, str, Any, dict[str, str], str]] = [
    ("POST", "users", {}, {}, "email"),
    ("POST", "users", {"email": "nobody"}, {}, "email"),
    ("POST", "users", {"email": "a@example.com", "id": "usr_1"}, {}, "id"),
    ("POST", "users", {"email": "a@example.com", "status": "gone"}, {}, "status"),
    ("POST", "projects", {"name": ""}, {}, "name"),
    ("POST", "projects", {"name": "A", "slug": "a--b"}, {}, "slug"),
    ("POST", "projects", {"name": "A", "settings": {"ttl": 1}}, {}, "settings.ttl"),
    ("POST", "organizations", {"name": "A", "max_members": 0}, {}, "max_members"),
    ("POST", "organizations", {"name": "A", "metadata": []}, {}, "metadata"),
    ("GET", "users", None, {"sort": "name"}, "sort"),
    ("GET", "users", None, {"page": "0"}, "page"),
    ("GET", "projects", None, {"limit": "201"}, "limit"),
    ("GET", "organizations", None, {"role": "owner"}, "role"),
    ("GET", "organizations", None, {"cursor": "made-up"}, "cursor"),
]


class ListMoves(ProjectMoves, UserMoves, InvitationMoves):
    @rule(data=st.data(), name=st.sampled_from(sorted(QUERIES)), limit=st.sampled_from(LIMITS))
    def list(self, data: st.DataObject, name: str, limit: str) -> None:
        """A page, and often the pages behind it."""
        caller, path = self._list(data, name)
        some_of = {each: st.sampled_from(values) for each, values in QUERIES[name].items()}
        query = data.draw(st.fixed_dictionaries({}, optional=some_of), label="query")
        if name == "tenants":
            query["q"] = self.dialogue.name
        query |= self._related(data, name, caller) | {"limit": limit}
        number = data.draw(st.sampled_from([None, "1", "2", "9"]), label="page")
        first = self.ask(caller, "GET", path, None, query | ({"page": number} if number else {}))
        cursor = first.status == 200 and first.body["pagination"]["next_cursor"]
        if cursor:
            self.walks.append((caller, path, query | {"cursor": cursor}))

    def _list(self, data: st.DataObject, name: str) -> tuple[str, str]:
        if name in ("members", "invitations"):
            caller, path, _ = self.organization(data)
            return caller, f"{path}/{name}"
        return OPERATOR if name == "tenants" else self.caller(data), f"/v1/admin/{name}"

    def _related(self, data: st.DataObject, name: str, caller: str) -> dict[str, str]:
        """Filters whose values are what there is."""
        if name not in ("users", "organizations") or not data.draw(st.booleans(), label="related"):
            return {}
        tenant = self.tenant(caller)
        if name == "organizations":
            return {"user_id": self.an_id(data, caller, "usr", tenant.users)}
        times = [each["created_at"] for each in tenant.users.values()]
        seen = [each for each in times if isinstance(each, str)]
        if not seen:
            return {"organization_id": self.an_id(data, caller, "org", tenant.organizations)}
        which = data.draw(st.sampled_from(["created_after", "created_before"]), label="which")
        return {which: data.draw(st.sampled_from(seen), label="time")}

    @precondition(lambda self: self.walks)
    @rule(data=st.data(), meddled=seldom([True], [False]))
    def walk_on(self, data: st.DataObject, meddled: bool) -> None:
        """Whatever was added or removed meanwhile, the page goes on behind the last row seen."""
        number = data.draw(st.integers(0, len(self.walks) - 1), label="walk")
        caller, path, query = self.walks[number]
        if meddled and not path.endswith("/invitations"):
            self.ask(caller, "GET", path, None, query | {"q": "another"})
            return
        answer = self.ask(caller, "GET", path, None, query)
        cursor = answer.status == 200 and answer.body["pagination"]["next_cursor"]
        if cursor:
            self.walks.append((caller, path, query | {"cursor": cursor}))

    @precondition(lambda self: self.keyed)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """With its key. Keys are few, so that other requests come with it too."""
        number = data.draw(st.integers(0, len(self.keyed) - 1), label="request")
        request, headers = self.keyed[number]
        self.ask(*request, **headers)

    @rule(data=st.data(), fault=st.sampled_from(FAULTS))
    def make_a_fault(self, data: st.DataObject, fault: tuple[Any, ...]) -> None:
        caller = self.caller(data)
        method, name, body, query, at_fault = fault
        request = (caller, method, f"/v1/admin/{name}", body, query)
        self.agreed(lambda: self.dialogue.fault(at_fault, *request))
