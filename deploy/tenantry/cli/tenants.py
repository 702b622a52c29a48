"""`tenantry tenant`: the operator's commands over HTTP."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tenantry.cli.commands import Data, Json, Url, confirm, group

if TYPE_CHECKING:
    from tenantry.api import Api

app = group("Tenants. Needs the operator's key: TENANTRY_OPERATOR_KEY or --data.")

_COLUMNS = ("id", "slug", "name", "status", "created_at")
_TENANTS = "/v1/admin/tenants"

Tenant = Annotated[str, typer.Argument(help="Its id or its slug.")]


@app.command()
def create(
    name: str,
    slug: Annotated[str | None, typer.Option(help="Made from the name if absent.")] = None,
    url: Url = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Create a tenant; its first API key is shown this once."""
    from tenantry.cli import showing

    body = {"name": name} if slug is None else {"name": name, "slug": slug}
    made = _api(url, data)("POST", _TENANTS, body).body
    if as_json:
        showing.as_json(made)
        return
    showing.facts(made["tenant"] | {"api_key": made["api_key"]["secret"]}, (*_COLUMNS, "api_key"))
    showing.say("Keep the key: it is not shown again.", "yellow")


@app.command("list")
def list_(
    q: Annotated[str | None, typer.Option(help="What name or slug contains.")] = None,
    status: Literal["active", "suspended"] | None = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 50,
    url: Url = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List tenants, newest first."""
    from tenantry.cli import showing

    found = _api(url, data).items(_TENANTS, "tenants", limit, q=q, status=status)
    showing.listing(found, "tenants", _COLUMNS, as_json=as_json)


@app.command()
def suspend(tenant: Tenant, url: Url = None, data: Data = None, as_json: Json = False) -> None:
    """Refuse every credential of a tenant until it is resumed."""
    _set_status(_api(url, data), tenant, "suspended", as_json=as_json)


@app.command()
def resume(tenant: Tenant, url: Url = None, data: Data = None, as_json: Json = False) -> None:
    """Let a suspended tenant in again."""
    _set_status(_api(url, data), tenant, "active", as_json=as_json)


@app.command()
def delete(
    tenant: Tenant,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    wait: Annotated[int, typer.Option(help="Seconds until every service has done it.")] = 60,
    url: Url = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Erase a tenant in every service. There is no way back."""
    from tenantry.cli import showing

    api = _api(url, data)
    found = _find(api, tenant)
    path = f"{_TENANTS}/{found['id']}"
    would = api("DELETE", path, query={"dry_run": "true"}).body["would_delete"]
    if dry_run:
        result: dict[str, Any] = {"id": found["id"], "would_delete": would}
    else:
        things = ", ".join(f"{count} {name}" for name, count in would.items() if count)
        confirm(f"Erase {found['slug']} ({things or 'empty'}) for good?", yes=yes)
        _erase(api, path, wait)
        result = {"id": found["id"], "deleted": True}
    if as_json:
        showing.as_json(result)
    elif dry_run:
        showing.facts(would, list(would))
    else:
        showing.say(f"{found['slug']} ({found['id']}) is erased in every service.", "green")


def _erase(api: "Api", path: str, wait: int) -> None:
    import time

    from tenantry.failing import Failed, Refused

    deadline = time.monotonic() + wait
    while True:
        try:
            if api("DELETE", path).status == 204:
                return
        except Refused as refused:
            if refused.status == 404:  # done since the last look
                return
            raise
        if time.monotonic() > deadline:
            raise Failed(
                f"some service has not erased the tenant within {wait} s",
                "It goes on by itself; run the command again, or `tenantry doctor`.",
                code="still_erasing",
            )
        time.sleep(0.5)


def _set_status(api: "Api", tenant: str, status: str, *, as_json: bool) -> None:
    from tenantry.cli import showing

    path = f"{_TENANTS}/{_find(api, tenant)['id']}"
    changed = api("PATCH", path, {"status": status}).body
    if as_json:
        showing.as_json(changed)
    else:
        showing.facts(changed, _COLUMNS)


def _find(api: "Api", tenant: str) -> dict[str, Any]:
    return api.find(_TENANTS, "tenants", "ten_", tenant)


def _api(url: str | None, data: Any) -> "Api":
    from tenantry.api import operator

    return operator(url, data)
