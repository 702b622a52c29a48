"""`tenantry doctor`: looks at all parts and says of each what to do."""

import typer

from tenantry.cli.commands import Data, Json, Url

_COLUMNS = ("status", "check", "of", "detail")


def doctor(url: Url = None, data: Data = None, as_json: Json = False) -> None:
    """Check configuration, connections, clocks, schemas, streams and events.

    The exit code is 1 if anything failed; a warning leaves it 0.
    """
    import asyncio
    from dataclasses import asdict

    from tenantry.checks import examine
    from tenantry.cli import showing

    found = asyncio.run(examine(url, data))
    failed = sum(each.status == "failed" for each in found)
    if as_json:
        showing.as_json({"ok": not failed, "checks": [asdict(each) for each in found]})
    else:
        showing.table([asdict(each) for each in found], _COLUMNS)
        for each in found:
            if each.fix:
                showing.say(f"\n{each.check} of {each.of}: {each.detail}", "bold")
                showing.say(f"  {each.fix}")
        showing.say(
            f"\n{failed} failed." if failed else "\nNothing failed.", "red" if failed else "green"
        )
    raise typer.Exit(1 if failed else 0)
