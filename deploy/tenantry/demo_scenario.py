"""`tenantry demo`: a scenario on a running product over HTTP, which prints every response.

It creates a tenant of its own and deletes it at the end. The first unexpected response ends it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import httpx
from aiohttp import web
from rich.console import Console
from rich.markup import escape
from tenantry_client import AsyncClient, api
from tenantry_client.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    ProblemError,
    TenantryError,
    UnauthenticatedError,
)
from tenantry_client.models import (
    AcceptInvitation,
    AddMember,
    AuditQuery,
    CreateApiKey,
    CreateInvitation,
    CreateOrganization,
    CreateProject,
    CreateTenant,
    CreateUser,
    CreateWebhook,
    DeleteQuery,
    Event,
    ProjectSettings,
    RotateSigningKey,
    UpdateMember,
    UpdateProject,
    UpdateUser,
)
from tenantry_client.webhooks import verify

from tenantry.connection import http_settings

TIMEOUT_SECONDS = 10.0
WAIT_SECONDS = 20.0

console = Console(highlight=False, soft_wrap=True)


class UnexpectedOutcome(Exception):  # noqa: N818 - states the fact
    """The product did something else than the scenario expects."""


@dataclass
class WebhookReceiver:
    """Receives webhooks on loopback and verifies every signature."""

    secret: str = ""
    events: list[Event] = field(default_factory=list)
    port: int = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_post("/hook", self._receive)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.port = runner.addresses[0][1]
            yield
        finally:
            await runner.cleanup()

    async def wait_for(self, event_type: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            for event in self.events:
                if event.type == event_type:
                    hook = f"{event.type} {event.id}, its signature verified"
                    console.print(f"  [cyan]hook  [/] {hook}")
                    return
            await asyncio.sleep(0.02)
        raise UnexpectedOutcome(f"no webhook with {event_type} came")

    async def _receive(self, request: web.Request) -> web.Response:
        self.events.append(verify(self.secret, await request.read(), request.headers))
        return web.Response(text="thank you")


def run_scenario(url: str, operator_key: str) -> int:
    """The exit code."""
    try:
        asyncio.run(_run(url, operator_key))
    except (UnexpectedOutcome, TenantryError, OSError) as error:
        console.print(f"[red bold]The demo failed:[/] {escape(str(error))}")
        return 1
    console.print("[green bold]Every step came back as it should.[/]")
    return 0


async def _run(url: str, operator_key: str) -> None:
    receiver = WebhookReceiver()
    async with receiver.running(), _connect(url, operator_key) as operator:
        _title("The operator creates a tenant; its first key is shown once")
        slug = f"demo-{int(time.time() * 1000)}"
        created = await operator(api.create_tenant(CreateTenant(name="Scenario", slug=slug)))
        async with _connect(url, created.api_key.secret) as tenant:
            await tenant(api.who_am_i())
            project_id = await _use_a_project(url, tenant)
            await _use_a_webhook(tenant, receiver)
            user_id, organization_id = await _use_an_organization(tenant)
            await receiver.wait_for("organization.created")
            await _delete_a_user(tenant, user_id, organization_id)
            await _read_the_audit_trail(tenant, user_id)
            _title("The end: the project is deleted, then the operator erases the tenant")
            await tenant(api.delete_project(project_id, DeleteQuery(dry_run=True)))
            await tenant(api.delete_project(project_id))
        await _erase(operator, created.tenant.id)


def _connect(url: str, key: str) -> AsyncClient:
    hooks = {"response": [_print_response]}
    http = httpx.AsyncClient(**http_settings(TIMEOUT_SECONDS), event_hooks=hooks)
    return AsyncClient(url, key, http=http)


async def _print_response(response: httpx.Response) -> None:
    """On one line, with the beginning of the body."""
    request = response.request
    body = " ".join((await response.aread()).decode().split())
    brief = f"{body[:110]}…" if len(body) > 110 else body
    path = escape(request.url.raw_path.decode())
    status = f"[bold]{response.status_code}[/]"
    console.print(f"  [cyan]{request.method:6}[/] {path}  {status}  [dim]{escape(brief)}[/]")


@contextmanager
def _refused(error: type[ProblemError]) -> Iterator[None]:
    try:
        yield
    except error:
        return
    raise UnexpectedOutcome(f"this should have been refused ({error.__doc__})")


def _title(text: str) -> None:
    console.print(f"\n[bold]{text}[/]")


async def _use_a_project(url: str, tenant: AsyncClient) -> str:
    _title("A project with an API key and signing keys")
    project = await tenant(
        api.create_project(
            CreateProject(
                name="Web App",
                environment="production",
                allowed_origins=["https://app.example.com"],
                settings=ProjectSettings(access_token_ttl=600),
            )
        )
    )
    await tenant(api.update_project(project.id, UpdateProject(settings={"mfa": "required"})))
    new_key = CreateApiKey(name="backend", scopes=["users:read"])
    key = await tenant(api.create_api_key(project.id, new_key))
    async with _connect(url, key.secret) as backend:
        await backend(api.list_users())
        with _refused(ForbiddenError):
            await backend(api.create_user(CreateUser(email="x@example.com")))
        await tenant(api.revoke_api_key(project.id, key.id))
        with _refused(UnauthenticatedError):
            await backend(api.list_users())
    await tenant(api.list_signing_keys(project.id))
    with _refused(ConflictError):
        await tenant(api.rotate_signing_key(project.id))
    await tenant(api.rotate_signing_key(project.id, RotateSigningKey(force=True)))
    await tenant(api.get_jwks(project.id))
    return project.id


async def _use_a_webhook(tenant: AsyncClient, receiver: WebhookReceiver) -> None:
    _title("A webhook, received here and verified with the public library")
    url = f"http://127.0.0.1:{receiver.port}/hook"
    webhook = await tenant(api.create_webhook(CreateWebhook(url=url, events=["*"])))
    receiver.secret = webhook.secret
    await tenant(api.send_test(webhook.id))
    await receiver.wait_for("webhook.test")
    await tenant(api.list_deliveries(webhook.id))


async def _use_an_organization(tenant: AsyncClient) -> tuple[str, str]:
    """The ids of a member and of the organization."""
    _title("Users, an organization, members and an invitation")
    ada = await tenant(api.create_user(CreateUser(email="ada@example.com", name="Ada")))
    bob = await tenant(api.create_user(CreateUser(email="bob@example.com")))
    with _refused(ConflictError):
        await tenant(api.create_user(CreateUser(email="ADA@example.com")))
    acme = await tenant(api.create_organization(CreateOrganization(name="Acme", owner_id=ada.id)))
    await tenant(api.add_member(acme.id, AddMember(user_id=bob.id)))
    await tenant(api.update_member(acme.id, bob.id, UpdateMember(role="admin")))
    with _refused(ConflictError):
        await tenant(api.remove_member(acme.id, ada.id))
    eve = CreateInvitation(email="eve@example.com")
    invitation = await tenant(api.create_invitation(acme.id, eve))
    await tenant(api.accept_invitation(AcceptInvitation(token=invitation.token)))
    await tenant(api.list_members(acme.id))
    return bob.id, acme.id


async def _delete_a_user(tenant: AsyncClient, user_id: str, organization_id: str) -> None:
    _title("A user is suspended, removed and deleted")
    await tenant(api.update_user(user_id, UpdateUser(status="suspended")))
    await tenant(api.get_user(user_id))
    await tenant(api.remove_member(organization_id, user_id))
    await tenant(api.delete_user(user_id))
    with _refused(NotFoundError):
        await tenant(api.get_user(user_id))


async def _read_the_audit_trail(tenant: AsyncClient, user_id: str) -> None:
    _title("The audit trail: who did what, from where, and the proof")
    deadline = time.monotonic() + WAIT_SECONDS
    query = AuditQuery(resource_id=user_id, action="user.deleted")
    while (await tenant(api.list_events(query))).pagination.total != 1:
        if time.monotonic() > deadline:
            raise UnexpectedOutcome("the audit trail does not show user.deleted")
        await asyncio.sleep(0.1)
    if not (await tenant(api.get_proof())).valid:
        raise UnexpectedOutcome("the audit trail is not proven")


async def _erase(operator: AsyncClient, tenant_id: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    try:
        while await operator(api.delete_tenant(tenant_id)) is not None:
            if time.monotonic() > deadline:
                raise UnexpectedOutcome(f"the tenant is not erased within {WAIT_SECONDS:.0f} s")
    except NotFoundError:
        pass  # it was erased since the last request
