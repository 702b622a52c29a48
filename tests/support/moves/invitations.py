"""Moves with invitations: by the tenant, and by whoever has the token."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from support.moves.choosing import EMAILS, NAMES, seldom, some
from support.moves.organizations import RIGHTS, OrganizationMoves


class InvitationMoves(OrganizationMoves):
    @rule(
        data=st.data(),
        body=some({"email": EMAILS}, {**RIGHTS, "expires_in": [3600, 2_592_000]}),
    )
    def create_invitation(self, data: st.DataObject, body: dict[str, Any]) -> None:
        caller, path, _ = self.organization(data)
        path += "/invitations"
        answer = self.ask(caller, "POST", path, body, **self.headers(data, "POST", path))
        if answer.status == 201:
            self.tokens.append(answer.body["token"])

    def invitation(self, data: st.DataObject) -> tuple[str, str]:
        """A tenant, and the path of an invitation to one of its organizations."""
        caller, path, _ = self.organization(data, "invitations")
        invited = self.tenant(caller).invited(path.rsplit("/", 1)[-1])
        invitation_id = self.an_id(data, caller, "inv", [each["id"] for each in invited])
        return caller, f"{path}/invitations/{invitation_id}"

    @rule(data=st.data())
    def revoke_invitation(self, data: st.DataObject) -> None:
        caller, path = self.invitation(data)
        self.ask(caller, "DELETE", path, **self.headers(data, "DELETE", path))

    @rule(data=st.data())
    def resend_invitation(self, data: st.DataObject) -> None:
        caller, path = self.invitation(data)
        path += "/resend"
        answer = self.ask(caller, "POST", path, **self.headers(data, "POST", path))
        if answer.status == 200:
            self.tokens.append(answer.body["token"])

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), rest=some({}, {"name": NAMES}))
    def accept_invitation(self, data: st.DataObject, rest: dict[str, Any]) -> None:
        """Mostly one that is open; those that are used or dead are refused."""
        tenants = self.dialogue.world.tenants.values()
        good = {
            token
            for tenant in tenants
            for token, key in tenant.tokens.items()
            if key in tenant.invitations and tenant.invitations[key]["status"] == "pending"
        }
        opened = [token for token in self.tokens if token in good]
        closed = [token for token in self.tokens if token not in good]
        token = data.draw(seldom(["nonsense", *closed[-2:]], opened), label="token")
        self.ask(None, "POST", "/v1/invitations/accept", {"token": token, **rest})
