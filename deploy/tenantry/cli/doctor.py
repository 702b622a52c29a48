"""`tenantry doctor`: checks all parts of an installation and says what to do."""

from typing import TYPE_CHECKING

import typer

from tenantry.cli.options import Data, Json, Url

if TYPE_CHECKING:
    from tenantry.checks.result import CheckResult

_COLUMNS = ("status", "check", "of", "detail")
_STYLES = {"failed": "red", "warning": "yellow"}


def doctor(url: Url = None, data: Data = None, as_json: Json = False) -> None:
    """Check configuration, disk, connections, clocks, schemas, streams and events, in ten seconds.

    What failed by itself comes first, with what follows from it. The exit code is 1 if anything
    failed; a warning leaves it 0.
    """
    import asyncio
    from dataclasses import asdict

    from tenantry.checks import run_checks
    from tenantry.cli import output

    results = asyncio.run(run_checks(url, data))
    failed = [result for result in results if result.status == "failed"]
    if as_json:
        cause = next((result.name for result in failed), None)
        rows = [asdict(result) for result in results]
        output.print_json({"ok": not failed, "root_cause": cause, "checks": rows})
    else:
        _print(results)
    raise typer.Exit(1 if failed else 0)


def _print(results: "list[CheckResult]") -> None:
    """Causes with their consequences, then the rest, then how many failed."""
    from dataclasses import asdict

    from tenantry.cli import output

    own = [result for result in results if result.caused_by is None]
    for result in own:
        if result.is_bad:
            output.print_line(f"{result.name}: {result.detail}", f"bold {_STYLES[result.status]}")
            output.print_line(f"  {result.fix}")
            if follow := [each.name for each in results if each.caused_by == result.name]:
                output.print_line(f"  From it follow: {', '.join(follow)}.", "dim")
            output.print_line("")
    output.print_table([asdict(result) for result in own], _COLUMNS)
    for result in own:
        if result.status == "skipped":
            output.print_line(f"{result.name}: {result.fix}", "dim")
    failed = [result for result in results if result.status == "failed"]
    causes = sum(result.caused_by is None for result in failed)
    follow_count = len(failed) - causes
    text = f"{causes} failed" + (f", and {follow_count} more by that" if follow_count else "")
    output.print_line(f"\n{text}." if failed else "\nNothing failed.", "red" if failed else "green")
