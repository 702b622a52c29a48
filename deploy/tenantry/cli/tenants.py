"""`tenantry tenant`: the operator's commands over HTTP."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tenantry.cli.options import Data, Json, Url, confirm, group

if TYPE_CHECKING:
    from tenantry_client import Client
    from tenantry_client.models import Tenant

app = group("Tenants. Needs the operator's key: TENANTRY_OPERATOR_KEY or --data.")

_COLUMNS = ("id", "slug", "name", "status", "created_at")

TenantName = Annotated[str, typer.Argument(metavar="tenant", help="Its id or its slug.")]


@app.command()
def create(
    name: str,
    slug: Annotated[str | None, typer.Option(help="Default: made from the name.")] = None,
    url: Url = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Create a tenant; its first API key is shown this once."""
    from tenantry_client import api
    from tenantry_client.models import CreateTenant

    from tenantry.api_client import connect_as_operator
    from tenantry.cli import output

    fields: dict[str, Any] = {"name": name} if slug is None else {"name": name, "slug": slug}
    with connect_as_operator(url, data) as operator:
        created = operator(api.create_tenant(CreateTenant.model_construct(**fields)))
    if as_json:
        output.print_json(created.model_dump(mode="json"))
        return
    shown = created.tenant.model_dump(mode="json") | {"api_key": created.api_key.secret}
    output.print_fields(shown, (*_COLUMNS, "api_key"))
    output.print_line("Keep the key: it is not shown again.", "yellow")


@app.command("list")
def list_(
    q: Annotated[str | None, typer.Option(help="Text that name or slug must contain.")] = None,
    status: Literal["active", "suspended"] | None = None,
    limit: Annotated[int, typer.Option(help="Show at most so many.", min=1)] = 50,
    url: Url = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List tenants, newest first."""
    from tenantry_client import api
    from tenantry_client.models import TenantsQuery

    from tenantry.api_client import connect_as_operator
    from tenantry.cli.lists import page_size, print_list

    query = TenantsQuery.model_construct(limit=page_size(limit), q=q, status=status)
    with connect_as_operator(url, data) as operator:
        print_list(operator, api.list_tenants(query), limit, _COLUMNS, as_json=as_json)


@app.command()
def suspend(tenant: TenantName, url: Url = None, data: Data = None, as_json: Json = False) -> None:
    """Refuse every credential of a tenant until it is resumed."""
    _set_status(tenant, "suspended", url, data, as_json=as_json)


@app.command()
def resume(tenant: TenantName, url: Url = None, data: Data = None, as_json: Json = False) -> None:
    """Accept the credentials of a suspended tenant again."""
    _set_status(tenant, "active", url, data, as_json=as_json)


@app.command()
def delete(
    tenant: TenantName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be deleted.")
    ] = False,
    wait: Annotated[
        int, typer.Option(help="Seconds to wait until every service has erased it.")
    ] = 60,
    url: Url = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Erase a tenant in every service. There is no way back."""
    from tenantry_client import api
    from tenantry_client.models import DeleteQuery, DeletionPreview

    from tenantry.api_client import connect_as_operator
    from tenantry.cli import output

    with connect_as_operator(url, data) as operator:
        found = _find_tenant(operator, tenant)
        preview = operator(api.delete_tenant(found.id, DeleteQuery(dry_run=True)))
        assert isinstance(preview, DeletionPreview), "a dry run answers with a preview"
        counts = preview.would_delete
        if not dry_run:
            content = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
            confirm(f"Erase {found.slug} ({content or 'empty'}) for good?", yes=yes)
            _erase(operator, found.id, wait)
    if as_json:
        result = {"would_delete": counts} if dry_run else {"deleted": True}
        output.print_json({"id": found.id, **result})
    elif dry_run:
        output.print_fields(counts, list(counts))
    else:
        output.print_line(f"{found.slug} ({found.id}) is erased in every service.", "green")


def _erase(operator: "Client", tenant_id: str, wait: int) -> None:
    import time

    from tenantry_client import api
    from tenantry_client.errors import NotFoundError

    from tenantry.errors import CommandFailed

    deadline = time.monotonic() + wait
    try:
        while operator(api.delete_tenant(tenant_id)) is not None:
            if time.monotonic() > deadline:
                raise CommandFailed(
                    f"some service has not erased the tenant within {wait} s",
                    "It goes on by itself; run the command again, or `tenantry doctor`.",
                    code="still_erasing",
                )
            time.sleep(0.5)
    except NotFoundError:
        pass  # it was erased since the last request


def _set_status(
    tenant: str, status: Literal["active", "suspended"], url: Url, data: Data, *, as_json: bool
) -> None:
    from tenantry_client import api
    from tenantry_client.models import UpdateTenant

    from tenantry.api_client import connect_as_operator
    from tenantry.cli import output

    with connect_as_operator(url, data) as operator:
        found = _find_tenant(operator, tenant)
        updated = operator(api.update_tenant(found.id, UpdateTenant(status=status)))
    shown: dict[str, Any] = updated.model_dump(mode="json")
    if as_json:
        output.print_json(shown)
    else:
        output.print_fields(shown, _COLUMNS)


def _find_tenant(operator: "Client", name: str) -> "Tenant":
    from tenantry_client import api
    from tenantry_client.models import TenantsQuery

    from tenantry.api_client import find_by_slug

    if name.startswith("ten_"):
        return operator(api.get_tenant(name))
    query = TenantsQuery.model_construct(limit=200, q=name)
    return find_by_slug(operator, api.list_tenants(query), name, "ten_")
