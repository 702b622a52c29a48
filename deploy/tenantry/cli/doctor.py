"""`tenantry doctor`: checks all parts of an installation and says what to do."""

import typer

from tenantry.cli.options import Data, Json, Url

_COLUMNS = ("status", "check", "of", "detail")


def doctor(url: Url = None, data: Data = None, as_json: Json = False) -> None:
    """Check configuration, connections, clocks, schemas, streams and events.

    The exit code is 1 if anything failed; a warning leaves it 0.
    """
    import asyncio
    from dataclasses import asdict

    from tenantry.checks import run_checks
    from tenantry.cli import output

    results = asyncio.run(run_checks(url, data))
    failed = sum(result.status == "failed" for result in results)
    rows = [asdict(result) for result in results]
    if as_json:
        output.print_json({"ok": not failed, "checks": rows})
    else:
        output.print_table(rows, _COLUMNS)
        for result in results:
            if result.fix:
                output.print_line(f"\n{result.check} of {result.of}: {result.detail}", "bold")
                output.print_line(f"  {result.fix}")
        summary = f"\n{failed} failed." if failed else "\nNothing failed."
        output.print_line(summary, "red" if failed else "green")
    raise typer.Exit(1 if failed else 0)
