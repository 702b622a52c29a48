"""The operator's moves, and a tenant's with itself."""

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from support.model.world import OPERATOR
from support.moves.choosing import EMAILS, METADATA, PATCHES, Moves, some

WORDS = ["", "acme", "b"]


class TenantMoves(Moves):
    """Slugs of tenants are global: all that an example makes begin with its name."""

    @initialize()
    def two_tenants(self) -> None:
        """With something in each, so that few moves come to nothing."""
        for name in ("one", "two"):
            self.make({"name": f"{self.dialogue.name} {name}"})
        for caller in self.dialogue.world.tenants:
            self._settle(caller)

    def _settle(self, caller: str) -> None:
        """A project, three users, a full organization, and one with an open invitation."""
        self.ask(caller, "POST", "/v1/admin/projects", {"name": "Web"})
        for email in EMAILS[:3]:
            self.ask(caller, "POST", "/v1/admin/users", {"email": email})
        ada, bob, _ = self.tenant(caller).users
        for name, limit in (("Acme", 1), ("Bees", 3)):
            body = {"name": name, "max_members": limit, "owner_id": ada}
            self.ask(caller, "POST", "/v1/admin/organizations", body)
        path = f"/v1/admin/organizations/{[*self.tenant(caller).organizations][-1]}"
        self.ask(caller, "POST", f"{path}/members", {"user_id": bob, "role": "owner"})
        made = self.ask(caller, "POST", f"{path}/invitations", {"email": EMAILS[3]})
        self.tokens.append(made.body["token"])

    def make(self, body: dict[str, object], **headers: str) -> None:
        self.ask(OPERATOR, "POST", "/v1/admin/tenants", body, **headers)

    @precondition(lambda self: len(self.dialogue.world.tenants) < 4)
    @rule(data=st.data(), word=st.sampled_from(WORDS), rest=some({}, {"settings": METADATA}))
    def create_tenant(self, data: st.DataObject, word: str, rest: dict[str, object]) -> None:
        name = self.dialogue.name
        slug = {"slug": f"{name}-{word}"} if word == "b" else {}
        headers = self.headers(data, "POST", "")
        self.make({"name": f"{name} {word}", **slug, **rest}, **headers)

    @rule(
        data=st.data(),
        by_operator=st.booleans(),
        patch=some(
            {}, {"name": ["acme", "two"], "slug": ["b", "one"], "settings": PATCHES,
                 "status": ["active", "suspended", "active"]}
        ),
    )  # fmt: skip
    def update_tenant(
        self, data: st.DataObject, by_operator: bool, patch: dict[str, object]
    ) -> None:
        caller = self.caller(data)
        other = self.an_id(data, caller, "ten", [caller, *self.dialogue.world.tenants])
        for name in patch.keys() & {"name", "slug"}:
            patch[name] = f"{self.dialogue.name}-{patch[name]}"
        path, shown = f"/v1/admin/tenants/{other}", self.tenant(other).shown
        headers = self.headers(data, "PATCH", path, shown or None)
        self.ask(OPERATOR if by_operator else caller, "PATCH", path, patch, **headers)

    @rule(data=st.data())
    def look_at_tenants(self, data: st.DataObject) -> None:
        caller = self.caller(data)
        other = self.an_id(data, caller, "ten", [caller, *self.dialogue.world.tenants])
        who = data.draw(st.sampled_from([caller, OPERATOR]), label="who")
        self.ask(who, "GET", f"/v1/admin/tenants/{other}")
        self.ask(who, "GET", "/v1/admin/tenant")

    @precondition(lambda self: len(self.dialogue.world.tenants) > 2)
    @rule(data=st.data(), dry_run=st.booleans())
    def delete_tenant(self, data: st.DataObject, dry_run: bool) -> None:
        path = f"/v1/admin/tenants/{self.caller(data)}"
        shown = self.tenant(path.rsplit("/", maxsplit=1)[-1]).shown
        headers = self.headers(data, "DELETE", "nonsense", shown or None)
        query = {"dry_run": "true"} if dry_run else {}
        if self.ask(OPERATOR, "DELETE", path, None, query, **headers).status == 202:
            self.agreed(lambda: self.dialogue.gone(path))
