"""The state machine: what may happen to an installation, in any order and with any values.

Each request goes to the product and to the model (client.py). What it changed is read at once; at
the end all there is, and all events.
"""

import sys
from dataclasses import replace
from typing import Any, NamedTuple

import httpx
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)
from stateful import strategies
from stateful.client import Client, wait_for
from stateful.events import check_events
from stateful.model import MALFORMED, OPERATOR, Request, Row
from stateful.strategies import ACCESS, EMAILS, HEADERS, mostly, some

ROOT, UNKNOWN = "/v1/admin", "01jt7a3v9qf8mbd2m0q5k4h6xz"
CHILDREN = {
    "tenants": ["projects", "users", "organizations", "tenants"],
    "organizations": ["members", "invitations"],
}
"""The operator creates and lists tenants, wherever there is one."""


class Ref(NamedTuple):
    """An object of a tenant, whether it still exists or not; `token` is an invitation's."""

    tenant: str
    path: str
    token: str = ""

    @property
    def resource(self) -> str:
        return self.path.split("/")[-2]

    @property
    def id(self) -> str:
        return self.path.split("/")[-1]

    def children(self, resource: str) -> str:
        return f"{ROOT if self.resource == 'tenants' else self.path}/{resource}"


def are(*resources: str) -> Any:
    return lambda ref: ref.resource in resources


class Installation(RuleBasedStateMachine):
    objects: Bundle[Ref] = Bundle("objects")
    tenants = objects.filter(are("tenants"))
    users = objects.filter(are("users"))
    invitations = objects.filter(are("invitations"))
    parents = objects.filter(are("tenants", "organizations"))
    readable = objects.filter(are("tenants", "projects", "users", "organizations"))
    updatable = objects.filter(are("tenants", "projects", "users", "organizations", "members"))
    pages: Bundle[Request] = Bundle("pages")
    """Requests for pages that are still to be read."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self.client = client
        self.model = client.model
        self.retries: list[Request] = []
        self.to_read: Request | None = None

    @initialize(target=objects)
    def create_two_tenants(self) -> Any:
        """Each with a project, three users, a full organization, and one with an invitation."""
        refs: list[Ref] = []

        def create(caller: str, path: str, **body: Any) -> Ref:
            created = self.create_at(Request(caller, "POST", path, body))
            refs.extend(created)
            return created[0]

        for name in ("one", "two"):
            tenant = create(OPERATOR, f"{ROOT}/tenants", name=name).id
            create(tenant, f"{ROOT}/projects", name="Web")
            ada, bob, _ = [create(tenant, f"{ROOT}/users", email=email).id for email in EMAILS[:3]]
            path = f"{ROOT}/organizations"
            create(tenant, path, name="Acme", max_members=1, owner_id=ada)
            path = create(tenant, path, name="Bees", max_members=3, owner_id=ada).path
            create(tenant, f"{path}/members", user_id=bob, role="owner")
            create(tenant, f"{path}/invitations", email=EMAILS[3])
        return multiple(*refs)

    @rule(target=objects, parent=parents, access=ACCESS, headers=HEADERS, data=st.data())
    def create(self, parent: Ref, access: str, headers: Row, data: st.DataObject) -> Any:
        resource = data.draw(st.sampled_from(CHILDREN[parent.resource]), label="resource")
        user_ids = self.ids(parent.tenant, "users", "usr_")
        body = data.draw(strategies.create_bodies(resource, user_ids), label="body")
        caller, parent = self.resolve(parent, access, resource)
        if resource == "tenants" and len(self.model.tenants) >= 4:
            return multiple()
        request = Request(caller, "POST", parent.children(resource), body, headers=headers)
        return multiple(*self.create_at(request))

    @rule(ref=readable, access=ACCESS)
    def get(self, ref: Ref, access: str) -> None:
        """Twice: the second time it has not changed."""
        caller, ref = self.resolve(ref, access)
        response = self.send(Request(caller, "GET", ref.path))
        if response.is_success:
            headers = {"if_none_match": response.headers["ETag"]}
            self.send(Request(caller, "GET", ref.path, headers=headers))
        if ref.resource == "tenants":
            self.send(Request(caller, "GET", f"{ROOT}/tenant"))

    @rule(ref=updatable, access=ACCESS, headers=HEADERS, data=st.data())
    def update(self, ref: Ref, access: str, headers: Row, data: st.DataObject) -> None:
        patch = data.draw(some(strategies.UPDATES[ref.resource]), label="patch")
        caller, ref = self.resolve(ref, access)
        self.send(Request(caller, "PATCH", ref.path, patch, headers=headers))

    @rule(ref=objects, access=ACCESS, headers=HEADERS, data=st.data())
    def delete(self, ref: Ref, access: str, headers: Row, data: st.DataObject) -> None:
        queries = strategies.DELETE_QUERIES.get(ref.resource, {})
        query = data.draw(some(queries), label="query")
        caller, ref = self.resolve(ref, access)
        if ref.resource == "tenants":
            headers = {}  # the replay of a 204 may be a 202
            query = query if len(self.model.tenants) > 2 else {"dry_run": "true"}
        response = self.send(Request(caller, "DELETE", ref.path, None, query, headers))
        if response.status_code == 202:
            get = Request(caller, "GET", ref.path)
            wait_for(lambda: self.client.fetch(get).status_code == 404)

    @rule(user=users, access=ACCESS, headers=HEADERS)
    def revoke_sessions(self, user: Ref, access: str, headers: Row) -> None:
        caller, user = self.resolve(user, access)
        self.send(Request(caller, "DELETE", f"{user.path}/sessions", headers=headers))

    @rule(target=objects, invitation=invitations, access=ACCESS, headers=HEADERS)
    def resend(self, invitation: Ref, access: str, headers: Row) -> Any:
        caller, invitation = self.resolve(invitation, access)
        request = Request(caller, "POST", f"{invitation.path}/resend", headers=headers)
        response = self.send(request)
        if response.is_error:
            return multiple()
        return invitation._replace(token=response.json()["token"])

    @rule(
        target=objects,
        invitation=invitations,
        token=st.sampled_from(mostly([None], [MALFORMED])),
        name=some({"name": strategies.NAMES}),
    )
    def accept(self, invitation: Ref, token: str | None, name: Row) -> Any:
        body = {"token": token or invitation.token, **name}
        response = self.send(Request(None, "POST", "/v1/invitations/accept", body))
        if response.is_error:
            return multiple()
        user_id = response.json()["member"]["user_id"]
        organization = invitation.path.partition("/invitations")[0]
        paths = (f"{organization}/members/{user_id}", f"{ROOT}/users/{user_id}")
        return multiple(*(Ref(invitation.tenant, path) for path in paths))

    @rule(target=pages, parent=parents, access=ACCESS, data=st.data())
    def get_page(self, parent: Ref, access: str, data: st.DataObject) -> Any:
        resource = data.draw(st.sampled_from(CHILDREN[parent.resource]), label="resource")
        related: strategies.Values = {}
        if resource == "organizations":
            related["user_id"] = self.ids(parent.tenant, "users", "usr_")
        if resource == "users":
            users = self.model.accounts[parent.tenant].rows["users"].values()
            times = [row["created_at"] for row in users if isinstance(row["created_at"], str)]
            related = {"created_after": times, "created_before": times}
            related["organization_id"] = self.ids(parent.tenant, "organizations", "org_")
        query = data.draw(strategies.list_queries(resource, related), label="query")
        if resource == "tenants":
            query["q"] = self.client.name
        caller, parent = self.resolve(parent, access, resource)
        return self.read_page(Request(caller, "GET", parent.children(resource), query=query))

    @rule(target=pages, page=pages, other_query=st.sampled_from(mostly([False], [True])))
    def get_next_page(self, page: Request, other_query: bool) -> Any:
        """Whatever was added or removed meanwhile, it goes on behind the last row seen. A list with
        another query does not take its cursor.
        """
        another = {"q": "another"} if other_query and "/invitations" not in page.path else {}
        return self.read_page(replace(page, query=page.query | another))

    @precondition(lambda self: self.retries)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """With the same idempotency key."""
        self.client.send(replace(data.draw(st.sampled_from(self.retries), label="request")))

    @rule(tenant=tenants, invalid=st.sampled_from(strategies.INVALID))
    def send_invalid(self, tenant: Ref, invalid: tuple[Any, ...]) -> None:
        method, resource, body, query, field = invalid
        request = Request(tenant.tenant, method, f"{ROOT}/{resource}", body, query)
        self.client.send(replace(request, invalid_field=field))

    @precondition(lambda self: self.to_read)
    @invariant()
    def a_change_is_read_at_once(self) -> None:
        request, self.to_read = self.to_read, None
        assert request is not None
        self.client.send(request)

    def teardown(self) -> None:
        """All there is, read again, and all events; unless there was a difference already."""
        if sys.exc_info()[0] is not None:
            return
        tenants = [tenant for (tenant,) in self.model.tenants]
        for tenant in tenants:
            path = f"{ROOT}/tenants/{tenant}"
            self.send(Request(OPERATOR, "PATCH", path, {"status": "active"}))
            self.read_all(tenant)
            # The last change in each service: what should not be there came before it.
            for resource in ("projects", "organizations"):
                self.send(Request(tenant, "POST", f"{ROOT}/{resource}", {"name": "Last"}))
        for tenant in tenants:
            check_events(self.client, tenant)

    def read_all(self, tenant: str) -> None:
        """Every list, whole and in pages of two, and every detail."""
        paths = [f"{ROOT}/{resource}" for resource in ("projects", "users", "organizations")]
        for path in paths:
            resource = path.split("/")[-1]
            for row in self.send(Request(tenant, "GET", path)).json()[resource]:
                if resource in ("users", "organizations"):
                    self.send(Request(tenant, "GET", f"{path}/{row['id']}"))
                paths += [f"{path}/{row['id']}/{child}" for child in CHILDREN.get(resource, [])]
            pages = self.read_page(Request(tenant, "GET", path, query={"limit": "2"}))
            while pages.values:
                pages = self.read_page(*pages.values)

    def resolve(self, ref: Ref, access: str, resource: str = "") -> tuple[str, Ref]:
        """The caller, and what it asks for; `resource` is what of it."""
        usual = OPERATOR if (resource or ref.resource) == "tenants" else ref.tenant
        another = next((id_ for (id_,) in self.model.tenants if id_ != ref.tenant), OPERATOR)
        callers = {"operator": OPERATOR, "another tenant": another, "tenant": ref.tenant}
        ids = {"unknown id": ref.id[:4] + UNKNOWN, "malformed id": MALFORMED}
        path = ref.path.removesuffix(ref.id) + ids.get(access, ref.id)
        return callers.get(access, usual), ref._replace(path=path)

    def ids(self, tenant: str, resource: str, prefix: str) -> list[str]:
        """Mostly the tenant's own; the others are another tenant's, unknown or malformed."""
        rows = {id_: self.model.accounts[id_].rows[resource] for (id_,) in self.model.tenants}
        own = [ids[0] for ids in rows.pop(tenant, [])]
        foreign = [ids[0] for each in rows.values() for ids in each][-1:]
        return mostly(own, [*foreign, prefix + UNKNOWN, MALFORMED])

    def send(self, request: Request) -> httpx.Response:
        """What may be retried, and what is to be read next, is remembered."""
        if request.path.startswith(f"{ROOT}/tenants") and request.json:
            # Slugs of tenants are unique in an installation.
            for field in request.json.keys() & {"name", "slug"}:
                request.json[field] = f"{self.client.name}-{request.json[field]}"
        if "idempotency_key" in request.headers:
            self.retries.append(request)
        response = self.client.send(request)
        if request.method != "GET" and response.is_success and request.caller is not None:
            # Members and invitations are read in their lists.
            parts = response.headers.get("Location", request.path).split("/")
            path = "/".join(parts[:6] if len(parts) > 6 else parts[:5])
            self.to_read = Request(request.caller, "GET", path)
        return response

    def create_at(self, request: Request) -> list[Ref]:
        """What was created, with the membership of an owner."""
        response = self.send(request)
        if response.is_error:
            return []
        created, path = response.json(), response.headers["Location"]
        tenant = created["tenant"]["id"] if "tenant" in created else str(request.caller)
        refs = [Ref(tenant, path, created.get("token", ""))]
        if owner := request.body.get("owner_id"):
            refs.append(Ref(tenant, f"{path}/members/{owner}"))
        return refs

    def read_page(self, request: Request) -> Any:
        """The request for the next page, if there is one."""
        response = self.send(request)
        cursor = response.is_success and response.json()["pagination"]["next_cursor"]
        query = {name: value for name, value in request.query.items() if name != "page"}
        pages = [replace(request, query=query | {"cursor": cursor})] if cursor else []
        return multiple(*pages)
