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
from stateful.strategies import ACCESS, EMAILS, HEADERS, json_objects, mostly

ROOT, UNKNOWN = "/v1/admin", "01jt7a3v9qf8mbd2m0q5k4h6xz"
CHILDREN = {
    "tenants": ["tenants", "projects", "users", "organizations"],
    "organizations": ["members", "invitations"],
}
"""Wherever there is a tenant, the operator can create and list others."""


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


class Installation(RuleBasedStateMachine):
    """Tenants and what they have; `pages` are requests for what is still to be read of a list."""

    objects: Bundle[Ref] = Bundle("objects")
    pages: Bundle[Request] = Bundle("pages")

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
            created = self.post(Request(caller, "POST", path, body))
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

    def create(
        self, resource: str, ref: Ref, access: str, headers: Row, data: st.DataObject
    ) -> Any:
        """In a tenant or an organization."""
        user_ids = self.ids(ref.tenant, "users", "usr_")
        body = data.draw(strategies.create_bodies(resource, user_ids), label="body")
        caller, path = self.resolve(ref, access, resource)
        if resource == "tenants" and len(self.model.tenants) >= 4:
            return multiple()
        return multiple(*self.post(Request(caller, "POST", path, body, headers=headers)))

    def get(self, resource: str, ref: Ref, access: str) -> None:
        """Twice: the second time it has not changed."""
        caller, path = self.resolve(ref, access)
        response = self.send(Request(caller, "GET", path))
        if response.is_success:
            headers = {"if_none_match": response.headers["ETag"]}
            self.send(Request(caller, "GET", path, headers=headers))
        if resource == "tenants":
            self.send(Request(caller, "GET", f"{ROOT}/tenant"))

    def update(self, resource: str, ref: Ref, access: str, headers: Row, patch: Row) -> None:
        caller, path = self.resolve(ref, access)
        self.send(Request(caller, "PATCH", path, patch, headers=headers))

    def delete(self, resource: str, ref: Ref, access: str, headers: Row, query: Row) -> None:
        caller, path = self.resolve(ref, access)
        if resource == "tenants":
            headers = {}  # the replay of a 204 may be a 202
            query = query if len(self.model.tenants) > 2 else {"dry_run": "true"}
        response = self.send(Request(caller, "DELETE", path, None, query, headers))
        if response.status_code == 202:
            get = Request(caller, "GET", path)
            wait_for(lambda: self.client.fetch(get).status_code == 404)

    def get_page(self, resource: str, ref: Ref, access: str, data: st.DataObject) -> Any:
        """Of a list in a tenant or an organization."""
        related: strategies.Values = {}
        if resource == "organizations":
            related["user_id"] = self.ids(ref.tenant, "users", "usr_")
        if resource == "users":
            users = self.model.accounts[ref.tenant].rows["users"].values()
            times = [row["created_at"] for row in users if isinstance(row["created_at"], str)]
            related = {"created_after": times, "created_before": times}
            related["organization_id"] = self.ids(ref.tenant, "organizations", "org_")
        query = data.draw(strategies.list_queries(resource, related), label="query")
        if resource == "tenants":
            query["q"] = self.client.name
        caller, path = self.resolve(ref, access, resource)
        return self.read_page(Request(caller, "GET", path, query=query))

    @rule(target=pages, page=pages, other_query=st.sampled_from(mostly([False], [True])))
    def get_next_page(self, page: Request, other_query: bool) -> Any:
        """Behind the last row, whatever was added or removed since; by the same query alone."""
        another = {"q": "another"} if other_query and "/invitations" not in page.path else {}
        return self.read_page(replace(page, query=page.query | another))

    def revoke_sessions(self, resource: str, ref: Ref, access: str, headers: Row) -> None:
        caller, path = self.resolve(ref, access)
        self.send(Request(caller, "DELETE", f"{path}/sessions", headers=headers))

    def resend(self, resource: str, ref: Ref, access: str, headers: Row) -> Any:
        caller, path = self.resolve(ref, access)
        response = self.send(Request(caller, "POST", f"{path}/resend", headers=headers))
        if response.is_error:
            return multiple()
        return ref._replace(token=response.json()["token"])

    def accept(self, resource: str, ref: Ref, access: str, body: Row) -> Any:
        token = MALFORMED if access == "malformed id" else ref.token
        request = Request(None, "POST", "/v1/invitations/accept", body | {"token": token})
        response = self.send(request)
        if response.is_error:
            return multiple()
        user_id = response.json()["member"]["user_id"]
        organization = ref.path.partition("/invitations")[0]
        paths = (f"{organization}/members/{user_id}", f"{ROOT}/users/{user_id}")
        return multiple(*(Ref(ref.tenant, path) for path in paths))

    @precondition(lambda self: self.retries)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """With the same idempotency key."""
        self.client.send(replace(data.draw(st.sampled_from(self.retries), label="request")))

    @rule(ref=objects, invalid=st.sampled_from(strategies.INVALID))
    def send_invalid(self, ref: Ref, invalid: tuple[Any, ...]) -> None:
        method, resource, body, query, field = invalid
        request = Request(ref.tenant, method, f"{ROOT}/{resource}", body, query)
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

    def resolve(self, ref: Ref, access: str, child: str = "") -> tuple[str, str]:
        """The caller, and the path of what it asks for: the object, or what is in it."""
        usual = OPERATOR if (child or ref.resource) == "tenants" else ref.tenant
        another = next((id_ for (id_,) in self.model.tenants if id_ != ref.tenant), OPERATOR)
        callers = {"operator": OPERATOR, "another tenant": another, "tenant": ref.tenant}
        ids = {"unknown id": ref.id[:4] + UNKNOWN, "malformed id": MALFORMED}
        path = ref.path.removesuffix(ref.id) + ids.get(access, ref.id)
        if child:
            path = f"{ROOT if ref.resource == 'tenants' else path}/{child}"
        return callers.get(access, usual), path

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
            prefix, fields = self.client.name, request.json.keys() & {"name", "slug"}
            request.json |= {field: f"{prefix}-{request.json[field]}" for field in fields}
        if "idempotency_key" in request.headers:
            self.retries.append(request)
        response = self.client.send(request)
        if request.method != "GET" and response.is_success and request.caller is not None:
            # Members and invitations are read in their lists.
            parts = response.headers.get("Location", request.path).split("/")
            path = "/".join(parts[:6] if len(parts) > 6 else parts[:5])
            self.to_read = Request(request.caller, "GET", path)
        return response

    def post(self, request: Request) -> list[Ref]:
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


def add_rule(verb: str, resource: str, of: str = "", **arguments: Any) -> None:
    """A rule such as update_users, for an object of the resource or of another one."""

    def run(self: Installation, **drawn: Any) -> Any:
        return getattr(self, verb)(resource, **drawn)

    run.__name__ = f"{verb}_{resource}"
    arguments["ref"] = Installation.objects.filter(lambda ref: ref.resource == (of or resource))
    setattr(Installation, run.__name__, rule(access=ACCESS, **arguments)(run))


# In each example Hypothesis leaves some rules out: the more there are, the more examples differ.
OBJECTS, PAGES = Installation.objects, Installation.pages
for parent, children in CHILDREN.items():
    for child in children:
        add_rule("create", child, parent, target=OBJECTS, headers=HEADERS, data=st.data())
        add_rule("get_page", child, parent, target=PAGES, data=st.data())
        query = strategies.DELETE_QUERIES.get(child, {})
        add_rule("delete", child, headers=HEADERS, query=json_objects(query))
for resource, fields in strategies.UPDATES.items():
    add_rule("update", resource, headers=HEADERS, patch=json_objects(fields))
for resource in CHILDREN["tenants"]:
    add_rule("get", resource)
add_rule("revoke_sessions", "users", headers=HEADERS)
add_rule("resend", "invitations", target=OBJECTS, headers=HEADERS)
name = json_objects({"name": strategies.NAMES})
add_rule("accept", "invitations", target=OBJECTS, body=name)
