"""What `tenantry dev` and `tenantry welcome` print. The demo key is the only secret they show."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from tenantry.data_folder.running import NAME
from tenantry.errors import CannotStart, ProgramFailed


def print_starting(data: Path) -> None:
    _print(f"Starting Tenantry on {data}")


def print_step(name: str, seconds: float) -> None:
    _print(f"  {name:<22}{typer.style(f'{seconds * 1000:6.0f} ms', dim=True)}")


def print_note(text: str) -> None:
    _print(f"  {text}", fg="yellow")


def print_ready(base_url: str, sign_in_url: str | None, data: Path, api_key: str | None) -> None:
    """`sign_in_url` is that of the console, None without one."""
    rows = {"Operator key": f"in {data / 'secrets.json'}", "Data": str(data)}
    if sign_in_url is not None:
        rows = {"Console": sign_in_url, **rows}
    _print_addresses(base_url, api_key, rows)
    _print("\nCtrl-C stops.")


def print_servers(data: Path) -> None:
    _print("\nThe servers run, without the product.\n", fg="green", bold=True)
    _print(f"  {'Addresses':<14}in {data / NAME}")
    _print("\nCtrl-C stops.")


def print_welcome(base_url: str, console_url: str | None, api_key: str) -> None:
    """The same for containers, which are stopped in another way."""
    _print_addresses(base_url, api_key, {"Console": console_url} if console_url else {})


def print_death(name: str, how: str) -> None:
    _print(f"{_now()} {name} {how}: restarting", fg="yellow")


def print_recovery(name: str, pid: int, seconds: float) -> None:
    _print(f"{_now()} {name} is ready again after {seconds * 1000:.0f} ms (pid {pid})", fg="green")


def print_stopping() -> None:
    _print("\nStopping (Ctrl-C again kills).")


def print_stopped(seconds: float) -> None:
    _print(f"Stopped after {seconds:.1f} s.")


def print_failure(error: CannotStart | ProgramFailed | OSError) -> None:
    fix = f": {error.fix}" if isinstance(error, CannotStart) else ""
    _print(f"Cannot start: {error}{fix}", fg="red", err=True)
    if isinstance(error, ProgramFailed) and error.log_tail:
        _print(error.log_tail, err=True)


def _print_addresses(base_url: str, api_key: str | None, more: dict[str, str]) -> None:
    _print("\nTenantry is ready.\n", fg="green", bold=True)
    rows = {"API": base_url, "Docs": f"{base_url}/docs"}
    if api_key is not None:
        rows["API key"] = f"{api_key} (tenant Demo)"
    for name, value in (rows | more).items():
        _print(f"  {name:<14}{value}")
    if api_key is not None:
        _print(f'\n  curl -s {base_url}/v1/admin/tenant -H "Authorization: Bearer {api_key}"')


def _now() -> str:
    return time.strftime("%H:%M:%S")


def _print(text: str, *, err: bool = False, **style: Any) -> None:
    """A terminal that was closed must not stop the stack."""
    with suppress(OSError):
        typer.secho(text, err=err, **style)
