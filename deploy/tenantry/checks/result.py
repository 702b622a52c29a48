"""The result of a check, where its log is, and the rule for clocks."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

TIMEOUT_SECONDS = 4.0
NO_ANSWER = f"no answer in {TIMEOUT_SECONDS:.0f} s"
SKEW_SECONDS = 2.0
"""Tokens are valid from the moment of their issue, so clocks may differ by little."""


@dataclass(frozen=True)
class CheckResult:
    """`fix` says what to do; None when there is nothing to do. `caused_by` is the name of the
    result that explains this one.
    """

    check: str
    of: str
    status: Literal["ok", "warning", "failed", "skipped"]
    detail: str
    fix: str | None = None
    caused_by: str | None = None

    @property
    def name(self) -> str:
        return f"{self.check} of {self.of}"

    @property
    def is_bad(self) -> bool:
        return self.status in ("failed", "warning")


def ok(check: str, of: str, detail: str) -> CheckResult:
    return CheckResult(check, of, "ok", detail)


def warning(check: str, of: str, detail: str, fix: str) -> CheckResult:
    return CheckResult(check, of, "warning", detail, fix)


def failed(check: str, of: str, detail: str, fix: str) -> CheckResult:
    return CheckResult(check, of, "failed", detail, fix)


def skipped(check: str, of: str, variable: str, more: str = "") -> CheckResult:
    """The check needs a variable that is not set."""
    fix = f"Set {variable} to have it checked.{more}"
    return CheckResult(check, of, "skipped", f"{variable} is not set", fix)


def log_of(folder: Path | None, process: str) -> str:
    """Where the log of a process is: a path of the data folder, if there is one."""
    path = folder and folder / "logs" / f"{process}.log"
    return f"its log ({path})" if path and path.exists() else "its log"


def check_clock(of: str, theirs: float, before: float) -> CheckResult:
    """`theirs` was read between `before` and now, all in seconds since 1970."""
    now = time.time()
    skew = theirs - (before + now) / 2
    detail = f"{skew:+.1f} s from here"
    if abs(skew) <= SKEW_SECONDS + (now - before) / 2:
        return ok("clock", of, detail)
    fix = (
        "Synchronise the clocks of both machines (chrony, systemd-timesyncd): tokens, limits and "
        "webhook signatures go by them."
    )
    return failed("clock", of, detail, fix)
