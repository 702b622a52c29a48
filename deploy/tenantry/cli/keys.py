"""`tenantry keys`: API keys of a project over HTTP, and the rotation of encryption keys."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tenantry.cli.options import Data, Json, Url, group

if TYPE_CHECKING:
    from tenantry_client import Client

app = group(
    "API keys of a project (needs a key of its tenant: TENANTRY_API_KEY or --data), "
    "and the rotation of the installation's own keys."
)

_COLUMNS = ("id", "name", "type", "prefix", "scopes", "status", "expires_at", "last_used_at")

ProjectName = Annotated[str, typer.Argument(metavar="project", help="Its id or its slug.")]


@app.command()
def create(
    project: ProjectName,
    name: Annotated[str, typer.Option(help="What it is for.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="Such as users:read; repeat it for more.")
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
    from tenantry_client import api
    from tenantry_client.models import CreateApiKey

    from tenantry.api_client import connect_as_tenant
    from tenantry.cli import output
    from tenantry.cli.times import parse_future

    fields: dict[str, Any] = {"name": name, "type": "publishable" if publishable else "secret"}
    fields["scopes"] = scope or []
    if expires is not None:
        fields["expires_at"] = parse_future(expires)
    with connect_as_tenant(url, data) as tenant:
        project_id = _find_project(tenant, project)
        created = tenant(api.create_api_key(project_id, CreateApiKey.model_construct(**fields)))
    shown = created.model_dump(mode="json")
    if as_json:
        output.print_json(shown)
        return
    output.print_fields(shown, (*_COLUMNS[:-1], "secret"))
    output.print_line("Keep the secret: it is not shown again.", "yellow")


@app.command("list")
def list_(
    project: ProjectName,
    status: Literal["active", "expired", "revoked"] | None = None,
    limit: Annotated[int, typer.Option(help="Show at most so many.", min=1)] = 50,
    url: Url = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List the API keys of a project; never a secret."""
    from tenantry_client import api
    from tenantry_client.models import ApiKeysQuery

    from tenantry.api_client import connect_as_tenant
    from tenantry.cli.lists import page_size, print_list

    query = ApiKeysQuery.model_construct(limit=page_size(limit), status=status)
    with connect_as_tenant(url, data) as tenant:
        request = api.list_api_keys(_find_project(tenant, project), query)
        print_list(tenant, request, limit, _COLUMNS, as_json=as_json)


@app.command()
def revoke(
    project: ProjectName,
    key_id: Annotated[str, typer.Argument(help="The id of the key: key_…")],
    descendants: Annotated[
        bool, typer.Option("--descendants", help="Also the keys that it made, and theirs.")
    ] = False,
    url: Url = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Revoke an API key: from now on it is refused everywhere."""
    from tenantry_client import api
    from tenantry_client.models import RevokeApiKeyQuery

    from tenantry.api_client import connect_as_tenant
    from tenantry.cli import output

    query = RevokeApiKeyQuery(descendants=True) if descendants else RevokeApiKeyQuery()
    with connect_as_tenant(url, data) as tenant:
        tenant(api.revoke_api_key(_find_project(tenant, project), key_id, query))
    if as_json:
        output.print_json({"id": key_id, "revoked": True})
    else:
        output.print_line(f"{key_id} is revoked.", "green")


@app.command()
def rewrap(data: Data = None, as_json: Json = False) -> None:
    """Encrypt all stored secrets again with the first encryption key of their service.

    Works on the databases of projects and webhooks, also while the services run. If it was
    interrupted, run it again.
    """
    import asyncio

    from tenantry.cli import output
    from tenantry.installation import find_installation
    from tenantry.operations.key_rotation import rotate_keys

    rotated = asyncio.run(rotate_keys(find_installation(data)))
    if as_json:
        output.print_json({"rewrapped": rotated})
        return
    rows = [{"service": service, "encrypted_again": count} for service, count in rotated.items()]
    output.print_table(rows, ("service", "encrypted_again"))
    output.print_line(
        "All stored secrets use the first key now. Stored answers of idempotent requests go within "
        "24 hours: keep the older keys in the list until then."
    )


@app.command()
def rotate_token_key(
    leaked: Annotated[
        bool, typer.Option("--leaked", help="Refuse all tokens of the old key at once.")
    ] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Sign access tokens with the next key; tokens of the old one work until they end.

    Works on the database of projects. It happens by itself every 90 days.
    """
    import asyncio

    from tenantry.cli import output
    from tenantry.installation import find_installation
    from tenantry.operations.token_keys import rotate_token_key

    kid = asyncio.run(rotate_token_key(find_installation(data), leaked=leaked))
    if as_json:
        output.print_json({"active": kid})
    else:
        output.print_line(f"{kid} signs access tokens now.", "green")


@app.command()
def hashes(data: Data = None, as_json: Json = False) -> None:
    """Show how many working secrets each hash key has hashed; one with none can be removed."""
    import asyncio

    from tenantry.cli import output
    from tenantry.installation import find_installation
    from tenantry.operations.hash_usage import count_by_hash_key

    rows = asyncio.run(count_by_hash_key(find_installation(data)))
    if as_json:
        output.print_json({"hashes": rows})
    else:
        output.print_table(rows, ("service", "key", "secrets"))


def _find_project(tenant: "Client", name: str) -> str:
    """The id of an existing project."""
    from tenantry_client import api
    from tenantry_client.models import ProjectsQuery

    from tenantry.api_client import find_by_slug

    if name.startswith("prj_"):
        return tenant(api.get_project(name)).id
    query = ProjectsQuery.model_construct(limit=200, q=name)
    return find_by_slug(tenant, api.list_projects(query), name, "prj_").id
