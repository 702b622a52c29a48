"""`tenantry keys`: API keys of a project over HTTP, and the rotation of encryption keys."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tenantry.cli.commands import Data, Json, Url, group

if TYPE_CHECKING:
    from tenantry.api import Api

app = group(
    "API keys of a project (needs a key of its tenant: TENANTRY_API_KEY or --data), "
    "and the rotation of encryption keys."
)

_COLUMNS = ("id", "name", "type", "prefix", "scopes", "status", "expires_at", "last_used_at")

Project = Annotated[str, typer.Argument(help="Its id or its slug.")]


@app.command()
def create(
    project: Project,
    name: Annotated[str, typer.Option(help="What it is for.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="Such as users:read; again for each.")
    ] = None,
    publishable: Annotated[
        bool, typer.Option("--publishable", help="A key for browsers, without scopes.")
    ] = False,
    expires: Annotated[
        str | None, typer.Option(help="A time such as 2027-01-31, or a span such as 90d.")
    ] = None,
    url: Url = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Create an API key; its secret is shown this once."""
    from tenantry.cli import showing
    from tenantry.moments import ahead

    body: dict[str, Any] = {"name": name, "type": "publishable" if publishable else "secret"}
    body["scopes"] = scope or []
    if expires is not None:
        body["expires_at"] = _spelled(ahead(expires))
    api = _api(url, data)
    made = api("POST", f"{_path(api, project)}/api-keys", body).body
    if as_json:
        showing.as_json(made)
        return
    showing.facts(made, (*_COLUMNS[:-1], "secret"))
    showing.say("Keep the secret: it is not shown again.", "yellow")


@app.command("list")
def list_(
    project: Project,
    status: Literal["active", "expired", "revoked"] | None = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 50,
    url: Url = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List the API keys of a project; never a secret."""
    from tenantry.cli import showing

    api = _api(url, data)
    path = f"{_path(api, project)}/api-keys"
    found = api.items(path, "api_keys", limit, status=status)
    showing.listing(found, "api_keys", _COLUMNS, as_json=as_json)


@app.command()
def revoke(
    project: Project,
    key_id: Annotated[str, typer.Argument(help="The id of the key: key_…")],
    url: Url = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Refuse an API key everywhere, from now on."""
    from urllib.parse import quote

    from tenantry.cli import showing

    api = _api(url, data)
    api("DELETE", f"{_path(api, project)}/api-keys/{quote(key_id, safe='')}")
    if as_json:
        showing.as_json({"id": key_id, "revoked": True})
    else:
        showing.say(f"{key_id} is revoked.", "green")


@app.command()
def rewrap(data: Data = None, as_json: Json = False) -> None:
    """Seal every kept secret anew under the first of TENANTRY_ENCRYPTION_KEYS.

    Works on the databases of projects and webhooks while they serve; stopped, it can be run again.
    """
    import asyncio

    from tenantry.cli import showing
    from tenantry.installation import backing
    from tenantry.rewrapping import rewrap

    done = asyncio.run(rewrap(backing(data)))
    if as_json:
        showing.as_json({"rewrapped": done})
        return
    rows = [{"service": service, "sealed_anew": count} for service, count in done.items()]
    showing.table(rows, ("service", "sealed_anew"))
    showing.say(
        "All secrets that are kept are under the first key. Stored answers of idempotent requests "
        "go within 24 hours: keep the older keys in the list until then."
    )


def _path(api: "Api", project: str) -> str:
    found = api.find("/v1/admin/projects", "projects", "prj_", project)
    return f"/v1/admin/projects/{found['id']}"


def _api(url: str | None, data: Any) -> "Api":
    from tenantry.api import tenant

    return tenant(url, data)


def _spelled(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
