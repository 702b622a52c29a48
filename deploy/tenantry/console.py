"""All that `tenantry dev` says on the terminal. The demo key is the only secret that it shows."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from tenantry.problems import CannotStart, ProgramFailed


def starting(data: Path) -> None:
    _say(f"Starting Tenantry on {data}")


def done(what: str, seconds: float) -> None:
    _say(f"  {what:<22}{typer.style(f'{seconds * 1000:6.0f} ms', dim=True)}")


def note(text: str) -> None:
    _say(f"  {text}", fg="yellow")


def ready(base_url: str, data: Path, api_key: str | None) -> None:
    _say("\nTenantry is ready.\n", fg="green", bold=True)
    rows = {"API": base_url, "Docs": f"{base_url}/docs"}
    if api_key is not None:
        rows["API key"] = f"{api_key} (tenant Demo)"
    rows["Operator key"] = f"in {data / 'secrets.json'}"
    rows["Data"] = str(data)
    for name, value in rows.items():
        _say(f"  {name:<14}{value}")
    if api_key is not None:
        _first_request(base_url, api_key)
    _say("\nCtrl-C stops.")


def welcome(base_url: str, api_key: str) -> None:
    """What `ready` says, by containers that others stop."""
    _say("\nTenantry is ready.\n", fg="green", bold=True)
    rows = {"API": base_url, "Docs": f"{base_url}/docs", "API key": f"{api_key} (tenant Demo)"}
    for name, value in rows.items():
        _say(f"  {name:<14}{value}")
    _first_request(base_url, api_key)


def died(name: str, how: str) -> None:
    _say(f"{_now()} {name} {how}: restarting", fg="yellow")


def recovered(name: str, pid: int, seconds: float) -> None:
    _say(f"{_now()} {name} is ready again after {seconds * 1000:.0f} ms (pid {pid})", fg="green")


def stopping() -> None:
    _say("\nStopping (Ctrl-C again kills).")


def stopped(seconds: float) -> None:
    _say(f"Stopped after {seconds:.1f} s.")


def failed(problem: CannotStart | ProgramFailed | OSError) -> None:
    _say(f"Cannot start: {problem}", fg="red", err=True)
    if isinstance(problem, ProgramFailed) and problem.log_tail:
        _say(problem.log_tail, err=True)


def _first_request(base_url: str, api_key: str) -> None:
    _say(f'\n  curl -s {base_url}/v1/admin/tenant -H "Authorization: Bearer {api_key}"')


def _now() -> str:
    return time.strftime("%H:%M:%S")


def _say(text: str, *, err: bool = False, **style: Any) -> None:
    """A terminal that has gone away stops nothing."""
    with suppress(OSError):
        typer.secho(text, err=err, **style)
