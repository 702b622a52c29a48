"""All that `tenantry dev` says on the terminal. The demo key is the only secret that it shows."""

from datetime import datetime
from pathlib import Path

import typer

from tenantry.problems import CannotStart, ProgramFailed


def starting(data: Path) -> None:
    typer.echo(f"Starting Tenantry on {data}")


def done(what: str, seconds: float) -> None:
    typer.echo(f"  {what:<22}{typer.style(f'{seconds * 1000:6.0f} ms', dim=True)}")


def note(text: str) -> None:
    typer.secho(f"  {text}", fg="yellow")


def ready(base_url: str, data: Path, api_key: str | None) -> None:
    typer.secho("\nTenantry is ready.\n", fg="green", bold=True)
    rows = {"API": base_url, "Docs": f"{base_url}/docs"}
    if api_key is not None:
        rows["API key"] = f"{api_key} (tenant Demo)"
    rows["Operator key"] = f"in {data / 'secrets.json'}"
    rows["Data"] = str(data)
    for name, value in rows.items():
        typer.echo(f"  {name:<14}{value}")
    if api_key is not None:
        typer.echo(f'\n  curl -s {base_url}/v1/admin/tenant -H "Authorization: Bearer {api_key}"')
    typer.echo("\nCtrl-C stops.")


def died(name: str, how: str) -> None:
    typer.secho(f"{_now()} {name} {how}: restarting", fg="yellow")


def recovered(name: str, pid: int, seconds: float) -> None:
    typer.secho(
        f"{_now()} {name} is ready again after {seconds * 1000:.0f} ms (pid {pid})", fg="green"
    )


def stopping() -> None:
    typer.echo("\nStopping (Ctrl-C again kills).")


def stopped(seconds: float) -> None:
    typer.echo(f"Stopped after {seconds:.1f} s.")


def failed(problem: CannotStart | ProgramFailed) -> None:
    typer.secho(f"Cannot start: {problem}", fg="red", err=True)
    if isinstance(problem, ProgramFailed) and problem.log_tail:
        typer.echo(problem.log_tail, err=True)


def _now() -> str:
    return f"{datetime.now():%H:%M:%S}"
