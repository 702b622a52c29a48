"""Why a command fails: what is wrong, what to do about it, and the exit code.

CommandFailed          1   something was found, refused or did not work
├── CannotStart        1   something outside the product keeps the stack from starting
├── ProgramFailed      1   a program of the stack ended or did not become ready
└── Misconfigured      2   wrong usage or configuration: nothing was tried
"""

from typing import Any


class CommandFailed(Exception):  # noqa: N818 - states the fact
    """`fix` says what to do, `code` is a stable word for scripts, `details` are shown by --json."""

    exit_code = 1

    def __init__(self, message: str, fix: str, *, code: str = "failed", **details: Any) -> None:
        super().__init__(message)
        self.fix = fix
        self.code = code
        self.details = details

    def as_json(self) -> dict[str, Any]:
        return {"code": self.code, "message": str(self), "fix": self.fix, **self.details}


class CannotStart(CommandFailed):
    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message, fix, code="cannot_start")


class ProgramFailed(CommandFailed):
    """`outcome` says how it ended; `log_tail` is the end of its log."""

    def __init__(self, name: str, outcome: str, log_tail: str) -> None:
        super().__init__(f"{name} {outcome}", log_tail, code="program_failed")
        self.outcome = outcome
        self.log_tail = log_tail


class Misconfigured(CommandFailed):
    exit_code = 2

    def __init__(self, message: str, fix: str, **details: Any) -> None:
        super().__init__(message, fix, code="misconfigured", **details)
