"""`tenantry audit`: a tenant's trail as a file over HTTP, and the proof of trails and files."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tenantry.cli.commands import Data, Json, Url, group

app = group("The audit trail: exports (needs a key of the tenant) and their proof.")

_COLUMNS = ("trail", "events", "chain", "first_broken", "event", "action")


@app.command()
def export(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; else standard output.")
    ] = None,
    form: Annotated[
        Literal["ndjson", "csv"], typer.Option("--format", help="Only ndjson can be verified.")
    ] = "ndjson",
    since: Annotated[str | None, typer.Option(help="A time, or a span such as 7d.")] = None,
    until: Annotated[str | None, typer.Option(help="The same; inclusive.")] = None,
    action: Annotated[str | None, typer.Option(help="user.created, or user.*")] = None,
    actor: Annotated[str | None, typer.Option(help="Id of who did it.")] = None,
    resource: Annotated[str | None, typer.Option(help="Id of what was changed.")] = None,
    url: Url = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Download the trail, newest first. Filtered exports have gaps and cannot be verified whole."""
    from tenantry.api import tenant
    from tenantry.cli import showing
    from tenantry.downloading import save

    query = {
        "format": form,
        "start_date": _time(since),
        "end_date": _time(until),
        "action": action,
        "actor_id": actor,
        "resource_id": resource,
    }
    blocks = tenant(url, data).stream("/v1/admin/audit/export", **query)
    if output is None:
        for block in blocks:
            sys.stdout.buffer.write(block)
        return
    size = save(blocks, output)
    if as_json:
        showing.as_json({"file": str(output), "format": form, "bytes": size})
    else:
        showing.say(f"{size:,} bytes in {output}.", "green")
        if form == "ndjson":
            showing.say(f"`tenantry audit verify --file {output}` proves it.")


@app.command()
def verify(
    file: Annotated[
        Path | None, typer.Option(help="An NDJSON export: needs no product and no key.")
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="With --file: the digest before its oldest event.")
    ] = None,
    tenant: Annotated[
        list[str] | None, typer.Option(help="Only that one (ten_…); again for more.")
    ] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Recompute hash chains and name the first broken event; the exit code is 1 if there is one.

    Without --file: all trails in the database of TENANTRY_AUDIT_DATABASE_URL or --data.
    """
    import asyncio

    from tenantry.cli import showing

    if file is not None:
        from tenantry.verifying import verify_file

        found = [verify_file(file, checkpoint)]
    elif checkpoint is not None:
        from tenantry.failing import Misconfigured

        raise Misconfigured("--checkpoint goes with --file", "Name the export with --file.")
    else:
        found = asyncio.run(_stored(data, tenant))
    valid = all(each["valid"] for each in found)
    if as_json:
        showing.as_json({"valid": valid, "trails": found})
    else:
        showing.table([_row(each) for each in found], _COLUMNS)
        broken = sum(not each["valid"] for each in found)
        word = f"{broken} of {len(found)} broken." if broken else f"All of {len(found)} proven."
        showing.say(word, "red" if broken else "green")
    raise typer.Exit(0 if valid else 1)


async def _stored(data: Path | None, wanted: list[str] | None) -> list[dict[str, Any]]:
    from tenantry import verifying
    from tenantry.databases import connected
    from tenantry.installation import backing

    async with connected("audit", backing(data).database("audit")) as conn:
        names = wanted or await verifying.tenants(conn)
        return [each async for each in verifying.verdicts(conn, names)]


def _row(verdict: dict[str, Any]) -> dict[str, Any]:
    broken = verdict["first_broken"] or {}
    return {
        "trail": verdict.get("tenant_id") or verdict["file"],
        "events": f"{verdict['length']:,}",
        "chain": "ok" if verdict["valid"] else "broken",
        "first_broken": broken.get("sequence"),
        "event": broken.get("id") or ("missing" if broken else None),
        "action": broken.get("action"),
    }


def _time(text: str | None) -> str | None:
    from tenantry.moments import ago

    return None if text is None else ago(text).isoformat().replace("+00:00", "Z")
