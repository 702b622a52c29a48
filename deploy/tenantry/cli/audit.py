"""`tenantry audit`: exports a tenant's trail over HTTP, and verifies trails and exports."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tenantry.cli.options import Data, Json, Profile, Url, group

if TYPE_CHECKING:
    from datetime import datetime

app = group("The audit trail: exports (needs a key of the tenant) and their proof.")

_COLUMNS = ("trail", "events", "chain", "first_broken", "event", "action", "marks")


@app.command()
def export(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file. Default: standard output.")
    ] = None,
    format_: Annotated[
        Literal["ndjson", "csv"], typer.Option("--format", help="Only ndjson can be verified.")
    ] = "ndjson",
    since: Annotated[str | None, typer.Option(help="A time, or a span such as 7d.")] = None,
    until: Annotated[str | None, typer.Option(help="The same; inclusive.")] = None,
    action: Annotated[str | None, typer.Option(help="user.created, or user.*")] = None,
    actor: Annotated[str | None, typer.Option(help="Id of who did it.")] = None,
    resource: Annotated[str | None, typer.Option(help="Id of what was changed.")] = None,
    url: Url = None,
    data: Data = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Download the trail, newest first. Only an export without filters can be proven complete."""
    from tenantry_client import api
    from tenantry_client.models import ExportQuery

    from tenantry.access import Target
    from tenantry.api_client import connect_as_tenant

    query = ExportQuery.model_construct(
        format=format_,
        start_date=_parse_time(since),
        end_date=_parse_time(until),
        action=action,
        actor_id=actor,
        resource_id=resource,
    )
    with connect_as_tenant(Target(url, data, profile)) as tenant:
        blocks = tenant.download(api.export_events(query))
        if output is None:
            for block in blocks:
                sys.stdout.buffer.write(block)
            return
        size = _save(blocks, output)
    is_provable = format_ == "ndjson" and not any((since, until, action, actor, resource))
    _print_saved(output, format_, size, is_provable=is_provable, as_json=as_json)


@app.command()
def verify(
    file: Annotated[
        Path | None, typer.Option(help="An NDJSON export: needs no product and no key.")
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="With --file: a checkpoint that you kept; repeat it for more."),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(help="With --checkpoint: its verifier key, or a file of such."),
    ] = None,
    inclusion: Annotated[
        Path | None,
        typer.Option(
            help="With --checkpoint: the proof of the oldest event, if it is not the first."
        ),
    ] = None,
    digest: Annotated[
        str | None, typer.Option(help="With --file: the digest before its oldest event.")
    ] = None,
    tenant: Annotated[
        list[str] | None, typer.Option(help="Only this one (ten_…); repeat it for more.")
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Recompute hash chains and name the first broken event; the exit code is 1 if there is one.

    With --checkpoint an export is compared with what was signed: nothing but a key that you kept is
    trusted, and what is missing, cut, rewritten or reordered is named.

    Without --file: all trails in the database of TENANTRY_AUDIT_DATABASE_URL or --data. Marks show
    what was closed, erased or dropped; with TENANTRY_PROJECTS_DATABASE_URL a trail that was closed
    although its tenant lives counts as broken.
    """
    import asyncio

    from tenantry.cli import output

    if file is not None:
        from tenantry.operations.audit_verification import verify_file
        from tenantry.operations.checkpoint_files import read_evidence

        evidence = read_evidence(checkpoint, key or [], inclusion) if checkpoint else None
        verdicts = [verify_file(file, digest, evidence)]
    elif checkpoint or digest is not None:
        from tenantry.errors import Misconfigured

        raise Misconfigured(
            "--checkpoint and --digest go with --file", "Name the export with --file."
        )
    else:
        verdicts = asyncio.run(_verify_stored(data, tenant))
    broken = sum(not verdict["valid"] for verdict in verdicts)
    if as_json:
        output.print_json({"valid": not broken, "trails": verdicts})
    else:
        output.print_table([_row(verdict) for verdict in verdicts], _COLUMNS)
        count = len(verdicts)
        result = f"{broken} of {count} broken." if broken else f"All of {count} proven."
        output.print_line(result, "red" if broken else "green")
        for note in filter(None, (verdict.get("note") for verdict in verdicts)):
            output.print_line(note)
    raise typer.Exit(1 if broken else 0)


@app.command()
def prove(
    url: Url = None, data: Data = None, profile: Profile = None, as_json: Json = False
) -> None:
    """Have the product recompute the tenant's whole trail; the exit code is 1 if it is broken."""
    from tenantry.access import Target, find_access
    from tenantry.cli import output
    from tenantry.connection import Api

    after: int | None = 0
    with Api(find_access(Target(url, data, profile), "api_key")) as api:
        while after is not None:  # a long trail is proved in parts
            proof = api("GET", "/v1/admin/audit/proof", {"after": after})
            after = proof["next_after"] if proof["valid"] else None
    if as_json:
        output.print_json(proof)
    else:
        output.print_fields(proof, ("valid", "length", "floor", "head", "first_broken"))
    raise typer.Exit(0 if proof["valid"] else 1)


async def _verify_stored(data: Path | None, tenant_ids: list[str] | None) -> list[dict[str, Any]]:
    from tenantry.installation import find_installation
    from tenantry.operations.audit_verification import list_living, list_tenants, verify_tenant
    from tenantry.operations.databases import connect

    installation = find_installation(data)
    living = None
    if "projects" in installation.database_urls:
        async with connect("projects", installation.database_url("projects")) as conn:
            living = await list_living(conn)
    async with connect("audit", installation.database_url("audit")) as conn:
        ids = tenant_ids or await list_tenants(conn)
        return [await verify_tenant(conn, tenant_id, living) for tenant_id in ids]


def _row(verdict: dict[str, Any]) -> dict[str, Any]:
    broken = verdict["first_broken"] or {}
    return {
        "trail": verdict.get("tenant_id") or verdict["file"],
        "events": f"{verdict['length']:,}",
        "chain": "ok" if verdict["valid"] else "broken",
        "first_broken": broken.get("sequence"),
        "event": broken.get("id") or ("missing" if broken else None),
        "action": broken.get("action"),
        "marks": ", ".join(
            f"{mark['kind']} at {mark['sequence']}" for mark in verdict.get("marks", ())
        ),
    }


def _save(blocks: Any, path: Path) -> int:
    """The size of the file, which is complete or does not exist: others may not read it."""
    from tenantry.atomic_file import replace_file

    size = 0
    with replace_file(path) as file:
        for block in blocks:
            size += file.write(block)
    return size


def _print_saved(path: Path, format_: str, size: int, *, is_provable: bool, as_json: bool) -> None:
    from tenantry.cli import output

    if as_json:
        saved = {"file": str(path), "format": format_, "bytes": size, "provable": is_provable}
        output.print_json(saved)
        return
    output.print_line(f"{size:,} bytes in {path}.", "green")
    if is_provable:
        output.print_line(f"`tenantry audit verify --file {path}` proves it.")
    else:
        output.print_line(
            "It cannot be proven: that needs the whole trail as NDJSON. Export it without filters."
        )


def _parse_time(text: str | None) -> "datetime | None":
    from tenantry.cli.times import parse_past

    return None if text is None else parse_past(text)
