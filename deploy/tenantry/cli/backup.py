"""`tenantry backup` and `tenantry restore`: the four databases in one file, without secrets."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from tenantry.cli.options import Data, Json


def backup(
    file: Annotated[Path, typer.Argument(help="A file that does not exist yet.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Back up the four databases into FILE, while everything runs or of a folder that is stopped.

    Uses TENANTRY_<SERVICE>_MIGRATION_URL, or --data. FILE has no keys: it names those to keep.
    """
    import asyncio

    from tenantry.cli import output
    from tenantry.operations.backup import create_backup
    from tenantry.operations.backup_file import Manifest, size_text
    from tenantry.operations.key_fingerprints import where_kept
    from tenantry.operations.stopped_folder import open_installation

    report = _reporter(quiet=as_json)

    async def work() -> tuple[Manifest, str]:
        async with open_installation(data) as installation:
            manifest = await create_backup(installation, file, report)
            return manifest, where_kept(installation)

    manifest, kept = asyncio.run(work())
    size = file.stat().st_size
    if as_json:
        shown = {"made_at": manifest.made_at, "seconds_apart": manifest.seconds_apart}
        output.print_json({"file": str(file), "bytes": size, **shown, "keep": kept})
        return
    output.print_line(f"{file}: {size_text(size)}, the state of {manifest.made_at}.", "green")
    output.print_line(f"The file has no keys. Keep in another place than the file: {kept}.")


def restore(
    file: Annotated[Path, typer.Argument(help="What `tenantry backup` has written.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Delete what is in the databases and the stream now.")
    ] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Restore FILE into empty databases, while the product is stopped.

    Into those of TENANTRY_<SERVICE>_MIGRATION_URL (with TENANTRY_NATS_ADMIN_URL), or into a data
    folder that has the old secrets.json. If it was interrupted, run it again.
    """
    import asyncio
    from functools import partial

    from tenantry.cli import output
    from tenantry.operations.backup_file import open_backup
    from tenantry.operations.restore import Restored, check_backup, restore_backup
    from tenantry.operations.stopped_folder import open_installation

    report = _reporter(quiet=as_json)

    async def work() -> Restored:
        with open_backup(file, report) as opened:
            check = partial(check_backup, opened)
            async with open_installation(data, check) as installation:
                return await restore_backup(installation, opened, report, replace=replace)

    restored = asyncio.run(work())
    if as_json:
        output.print_json({"made_at": restored.made_at, "events": restored.events})
        return
    count = sum(restored.events.values())
    output.print_line(f"Restored the state of {restored.made_at}.", "green")
    output.print_line(f"{count:,} events will be published again; none takes effect twice.")
    output.print_line(
        "Checkpoints of audit trails that were signed after that moment contradict the trails from "
        "now on. Each trail has a mark that says so: tell those who keep checkpoints."
    )
    output.print_line(
        "Now start it: `tenantry dev`, or `tenantry migrate`, `tenantry bootstrap`, the processes."
    )


def _reporter(*, quiet: bool) -> Callable[[str], None]:
    """Says how far it is on stderr, where --json has nothing but an error."""
    return lambda text: None if quiet else typer.echo(text, err=True)
