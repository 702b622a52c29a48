"""Moves with organizations and their members."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule
from support.moves.choosing import (
    METADATA,
    NAMES,
    PATCHES,
    PERMISSIONS,
    ROLES,
    SLUGS,
    Moves,
    some,
)

ORGANIZATIONS = "/v1/admin/organizations"
MORE = {
    "slug": SLUGS,
    "max_members": [None, 1, 2, 3],
    "logo_url": [None, "https://cdn.example.com/a.svg"],
}
RIGHTS = {"role": ROLES, "permissions": PERMISSIONS}


class OrganizationMoves(Moves):
    @rule(
        data=st.data(),
        owned=st.booleans(),
        body=some({"name": NAMES}, {**MORE, "settings": METADATA, "metadata": METADATA}),
    )
    def create_organization(self, data: st.DataObject, owned: bool, body: dict[str, Any]) -> None:
        caller = self.caller(data)
        if owned:
            owner = self.an_id(data, caller, "usr", self.tenant(caller).users)
            body["owner_id"] = owner
        headers = self.headers(data, "POST", body.get("owner_id", ""))
        self.ask(caller, "POST", ORGANIZATIONS, body, **headers)

    def organization(
        self, data: st.DataObject, having: str = ""
    ) -> tuple[str, str, dict[str, Any] | None]:
        """A tenant, the path of one of its organizations, and the organization. `having` members
        or invitations, if there is such a one.
        """
        caller = self.caller(data)
        tenant = self.tenant(caller)
        own = tenant.organizations
        with_some = [key[0] for key in getattr(tenant, having)] if having else []
        organization_id = self.an_id(data, caller, "org", with_some or own)
        return caller, f"{ORGANIZATIONS}/{organization_id}", own.get(organization_id)

    @rule(
        data=st.data(),
        patch=some({}, {**MORE, "name": NAMES, "settings": PATCHES, "metadata": PATCHES}),
    )
    def update_organization(self, data: st.DataObject, patch: dict[str, Any]) -> None:
        caller, path, shown = self.organization(data)
        self.ask(caller, "PATCH", path, patch, **self.headers(data, "PATCH", path, shown))

    @rule(data=st.data())
    def look_at_an_organization_twice(self, data: st.DataObject) -> None:
        caller, path, _ = self.organization(data)
        first = self.ask(caller, "GET", path)
        if first.status == 200:
            self.agreed(lambda: self.dialogue.unchanged(caller, path, first.headers["ETag"]))

    @rule(data=st.data(), query=some({}, {"dry_run": ["true", "false"]}))
    def delete_organization(self, data: st.DataObject, query: dict[str, str]) -> None:
        caller, path, shown = self.organization(data)
        headers = self.headers(data, "DELETE", path, shown)
        self.ask(caller, "DELETE", path, None, query, **headers)

    @rule(data=st.data(), rights=some({}, RIGHTS))
    def add_member(self, data: st.DataObject, rights: dict[str, Any]) -> None:
        caller, path, _ = self.organization(data)
        user_id = self.an_id(data, caller, "usr", self.tenant(caller).users)
        path += "/members"
        headers = self.headers(data, "POST", path)
        self.ask(caller, "POST", path, {"user_id": user_id, **rights}, **headers)

    def member(self, data: st.DataObject) -> tuple[str, str]:
        """A tenant, and the path of a member of one of its organizations, or of no member."""
        caller, path, _ = self.organization(data, "members")
        tenant, organization_id = self.tenant(caller), path.rsplit("/", 1)[-1]
        members = [each["user_id"] for each in tenant.of(organization_id)]
        user_id = self.an_id(data, caller, "usr", members or tenant.users)
        return caller, f"{path}/members/{user_id}"

    @rule(data=st.data(), patch=some({}, RIGHTS))
    def update_member(self, data: st.DataObject, patch: dict[str, Any]) -> None:
        caller, path = self.member(data)
        self.ask(caller, "PATCH", path, patch, **self.headers(data, "PATCH", path))

    @rule(data=st.data())
    def remove_member(self, data: st.DataObject) -> None:
        caller, path = self.member(data)
        self.ask(caller, "DELETE", path, **self.headers(data, "DELETE", path))
