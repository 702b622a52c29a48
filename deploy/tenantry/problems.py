"""What can go wrong while the stack starts, each with a message that names the way out."""


class CannotStart(Exception):  # noqa: N818 - states the fact
    """Something outside the product is in the way; the message says what to do about it."""


class ProgramFailed(Exception):  # noqa: N818 - states the fact
    """A program ended, or did not become ready: its name, what happened, the end of its log."""

    def __init__(self, name: str, what: str, log_tail: str) -> None:
        super().__init__(f"{name} {what}")
        self.what = what
        self.log_tail = log_tail
