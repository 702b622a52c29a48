"""Moves with users."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule
from support.moves.choosing import EMAILS, METADATA, NAMES, PATCHES, Moves, some

USERS = "/v1/admin/users"
MORE = {
    "email_verified": [False, True],
    "username": [None, "ada", "Ada", "zo\u00eb-1"],
    "name": [None, *NAMES],
    "external_id": [None, "x1", "X1"],
    "status": ["active", "suspended"],
}


class UserMoves(Moves):
    @rule(data=st.data(), body=some({"email": EMAILS}, {**MORE, "metadata": METADATA}))
    def create_user(self, data: st.DataObject, body: dict[str, Any]) -> None:
        caller = self.caller(data)
        self.ask(caller, "POST", USERS, body, **self.headers(data, "POST", USERS))

    def user(self, data: st.DataObject) -> tuple[str, str, dict[str, Any] | None]:
        """A tenant, the path of one of its users, and the user."""
        caller = self.caller(data)
        own = self.tenant(caller).users
        user_id = self.an_id(data, caller, "usr", own)
        return caller, f"{USERS}/{user_id}", own.get(user_id)

    @rule(data=st.data(), patch=some({}, {**MORE, "email": EMAILS, "metadata": PATCHES}))
    def update_user(self, data: st.DataObject, patch: dict[str, Any]) -> None:
        caller, path, shown = self.user(data)
        self.ask(caller, "PATCH", path, patch, **self.headers(data, "PATCH", path, shown))

    @rule(data=st.data())
    def look_at_a_user_twice(self, data: st.DataObject) -> None:
        """The second time it has not changed."""
        caller, path, _ = self.user(data)
        first = self.ask(caller, "GET", path)
        if first.status == 200:
            self.agreed(lambda: self.dialogue.unchanged(caller, path, first.headers["ETag"]))

    @rule(data=st.data(), query=some({}, {"dry_run": ["true"], "force": ["true", "false"]}))
    def delete_user(self, data: st.DataObject, query: dict[str, str]) -> None:
        caller, path, shown = self.user(data)
        headers = self.headers(data, "DELETE", path, shown)
        self.ask(caller, "DELETE", path, None, query, **headers)

    @rule(data=st.data())
    def revoke_sessions(self, data: st.DataObject) -> None:
        caller, path, _ = self.user(data)
        path += "/sessions"
        self.ask(caller, "DELETE", path, **self.headers(data, "DELETE", path))
