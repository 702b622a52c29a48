"""A check's outcome, and the one rule that all clocks are held against."""

import time
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "failed", "skipped"]
OK: Status = "ok"
WARNING: Status = "warning"
FAILED: Status = "failed"
SKIPPED: Status = "skipped"

LIMIT_SECONDS = 5.0
SKEW_SECONDS = 2.0
"""A token that is good at once and for minutes forgives no more than moments."""


@dataclass(frozen=True)
class Check:
    """`fix` says what to do; None when there is nothing to do."""

    check: str
    of: str
    status: Status
    detail: str
    fix: str | None = None


def clock(of: str, theirs: float, before: float) -> Check:
    """`theirs` was told between `before` and now, all in seconds since 1970."""
    now = time.time()
    skew = theirs - (before + now) / 2
    if abs(skew) <= SKEW_SECONDS + (now - before) / 2:
        return Check("clock", of, OK, f"{skew:+.1f} s from here")
    return Check(
        "clock",
        of,
        FAILED,
        f"{skew:+.1f} s from here",
        "Synchronise the clocks of both machines (chrony, systemd-timesyncd): tokens, limits and "
        "webhook signatures go by them.",
    )


def skipped(check: str, of: str, variable: str) -> Check:
    return Check(
        check, of, SKIPPED, f"{variable} is not set", f"Set {variable} to have it checked."
    )
