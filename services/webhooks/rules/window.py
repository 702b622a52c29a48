"""How many deliveries of a webhook may be in flight: more while its receiver answers quickly.

Each quick success allows one more, up to WIDEST; a failure, or an answer that takes its time, takes
all of them back. Pure.
"""

WEBHOOK_LIMIT = 8
"""Of any webhook that does not fail."""
WIDEST = 32
QUICK_SECONDS = 1.0
MAX_KNOWN = 10_000
"""Receivers whose window is wider; the one that was widened first begins anew."""


class Windows:
    """What this process knows of receivers that answer quickly; `receiver` is any name."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}

    def size(self, receiver: str) -> int:
        return self._sizes.get(receiver, WEBHOOK_LIMIT)

    def record_result(self, receiver: str, seconds: float, *, succeeded: bool) -> None:
        """An attempt ended, after so many seconds."""
        if not succeeded or seconds > QUICK_SECONDS:
            self._sizes.pop(receiver, None)
            return
        self._sizes[receiver] = min(self.size(receiver) + 1, WIDEST)
        if len(self._sizes) > MAX_KNOWN:
            del self._sizes[next(iter(self._sizes))]
