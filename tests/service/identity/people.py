"""Story words for the tests of sessions: a tenant with a project, whose users sign in."""

from dataclasses import dataclass
from typing import Any

from contracts import organizations as organization_calls
from contracts import projects as project_calls
from contracts import sessions as calls
from contracts import tenants as tenant_calls
from contracts import users as user_calls
from contracts.ids import new_id
from support.owner import Answer, Owner


@dataclass
class People:
    """What tests do with a tenant of their own."""

    identity: Owner
    projects: Owner
    tenant: str
    project: str

    async def new_user(self, email: str = "ada@example.com", **fields: Any) -> str:
        body = {"email": email, **fields}
        made = await self.identity.call(user_calls.CREATE_USER, self.tenant, body)
        assert made.status == 201, made.body
        return str(made.body["id"])

    async def new_project(self, **settings: Any) -> str:
        body = {"name": "Shop", "slug": new_id("prj").replace("_", "-"), "settings": settings}
        made = await self.projects.call(project_calls.CREATE_PROJECT, self.tenant, body)
        assert made.status == 201, made.body
        return str(made.body["id"])

    async def new_organization(self, owner: str) -> str:
        body = {"name": "Acme", "slug": new_id("org").replace("_", "-"), "owner_id": owner}
        made = await self.identity.call(organization_calls.CREATE_ORGANIZATION, self.tenant, body)
        assert made.status == 201, made.body
        return str(made.body["id"])

    async def sign_in(self, user: str, *, key: str | None = None, **fields: Any) -> Answer:
        body = {"project_id": self.project, **fields}
        return await self.identity.call(
            calls.CREATE_SESSION, self.tenant, body, path={"id": user}, idempotency_key=key
        )

    async def session(self, user: str, **fields: Any) -> dict[str, Any]:
        """A session that begins, with its tokens."""
        begun = await self.sign_in(user, **fields)
        assert begun.status == 201, begun.body
        return dict(begun.body)

    async def refresh(self, token: str, *, key: str | None = None) -> Answer:
        """Nobody's request: it has nothing but the token."""
        who = {"actor_type": "system", "actor_id": None, "scopes": ()}
        body = {"refresh_token": token}
        return await self.identity.call(
            calls.REFRESH_SESSION, None, body, idempotency_key=key, **who
        )

    async def verify(self, token: str, tenant: str | None = None) -> dict[str, Any]:
        body = {"token": token}
        answer = await self.identity.call(calls.VERIFY_SESSION, tenant or self.tenant, body)
        assert answer.status == 200, answer.body
        calls.SessionVerdict.model_validate_json(answer.reply.body)
        return dict(answer.body)

    async def end(self, user: str, session: str) -> None:
        path = {"id": user, "sid": session}
        assert (
            await self.identity.call(calls.REVOKE_SESSION, self.tenant, path=path)
        ).status == 204

    async def change(self, user: str, **fields: Any) -> None:
        path = {"id": user}
        changed = await self.identity.call(user_calls.UPDATE_USER, self.tenant, fields, path=path)
        assert changed.status == 200, changed.body

    async def found(self, user: str) -> dict[str, Any]:
        path = {"id": user}
        return dict((await self.identity.call(user_calls.GET_USER, self.tenant, path=path)).body)

    async def set_back(self, session: str, seconds: int) -> None:
        """As if so much time had gone by since the session was last used."""
        await self.identity.pool.execute(
            "UPDATE sessions SET last_active_at = last_active_at - $2 * interval '1 second',"
            " expires_at = expires_at - $2 * interval '1 second',"
            " ends_at = ends_at - $2 * interval '1 second' WHERE id = $1",
            *(session, seconds),
        )

    async def ended(self) -> list[tuple[str, str]]:
        """Which sessions were revoked, and why."""
        return [
            (each["subject"], each["data"]["reason"])
            for each in await self.identity.events(self.tenant)
            if each["type"] == "session.revoked"
        ]


async def new_tenant(projects: Owner) -> str:
    slug = new_id("ten").replace("_", "-")
    who = {"actor_type": "operator", "actor_id": None}
    body = {"name": "Acme", "slug": slug}
    made = await projects.call(tenant_calls.CREATE_TENANT, None, body, **who)
    assert made.status == 201, made.body
    return str(made.body["tenant"]["id"])


async def suspend(projects: Owner, tenant: str) -> None:
    who = {"actor_type": "operator", "actor_id": None}
    body, path = {"status": "suspended"}, {"id": tenant}
    changed = await projects.call(tenant_calls.UPDATE_TENANT, None, body, path=path, **who)
    assert changed.status == 200, changed.body


async def settled(identity: Owner, projects: Owner) -> People:
    """A fresh tenant with a project."""
    people = People(identity, projects, await new_tenant(projects), "")
    people.project = await people.new_project()
    return people
