"""How a command fails: a sentence that says what is, one that says what to do, and an exit code.

Failed          1   something was found, refused or did not work
  Refused       1   the product answered with a problem
Misconfigured   2   usage or configuration: nothing was tried
"""

from typing import Any


class Failed(Exception):  # noqa: N818 - states the fact
    """`fix` is one sentence that names the way out; `code` a stable word for scripts."""

    exit_code = 1

    def __init__(self, message: str, fix: str, *, code: str = "failed", **more: Any) -> None:
        super().__init__(message)
        self.fix = fix
        self.code = code
        self.more = more

    def shown(self) -> dict[str, Any]:
        return {"code": self.code, "message": str(self), "fix": self.fix, **self.more}


class Misconfigured(Failed):
    exit_code = 2

    def __init__(self, message: str, fix: str, **more: Any) -> None:
        super().__init__(message, fix, code="misconfigured", **more)


class Refused(Failed):
    """A problem document (RFC 9457) as it came; `status` is its HTTP status."""

    def __init__(self, message: str, fix: str, status: int, problem: dict[str, Any]) -> None:
        more = {name: problem[name] for name in ("request_id", "errors") if problem.get(name)}
        code = str(problem.get("code", "refused"))
        super().__init__(message, fix, code=code, status=status, **more)
        self.status = status
