"""A breaker for each webhook: while most attempts fail, the others wait and lose no try.

Opens when 7 of the last 10 outcomes within five minutes were failures; then one attempt at a time
probes, after 30 s and twice as long each time, at most five minutes. Pure.
"""

from collections import deque
from dataclasses import dataclass, field

WINDOW_SECONDS = 300.0
OUTCOMES = 10
FAILURES = 7
FIRST_PAUSE = 30.0
LONGEST_PAUSE = 300.0


@dataclass
class _State:
    outcomes: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=OUTCOMES))
    pause: float = 0.0
    open_until: float = 0.0
    probing: bool = False


class Breaker:
    """What this process knows of receivers that fail; one that does well leaves no trace."""

    def __init__(self) -> None:
        self._states: dict[str, _State] = {}

    def room(self, webhook_id: str, now: float, limit: int) -> int:
        """How many attempts may be under way: `limit`, one as a probe, or none."""
        state = self._states.get(webhook_id)
        if state is None or not state.pause:
            return limit
        return 0 if now < state.open_until or state.probing else 1

    def started(self, webhook_id: str) -> None:
        """An attempt begins: when open, it is the probe."""
        state = self._states.get(webhook_id)
        if state is not None and state.pause:
            state.probing = True

    def ended(self, webhook_id: str, now: float, succeeded: bool) -> None:
        """An attempt ended."""
        if succeeded and webhook_id not in self._states:
            return
        state = self._states.setdefault(webhook_id, _State())
        state.probing = False
        state.outcomes.append((now, succeeded))
        recent = [ok for at, ok in state.outcomes if now - at <= WINDOW_SECONDS]
        if succeeded and (state.pause or all(recent)):
            del self._states[webhook_id]
        elif now >= state.open_until and (
            state.pause or (len(recent) == OUTCOMES and recent.count(False) >= FAILURES)
        ):
            state.pause = min(state.pause * 2 or FIRST_PAUSE, LONGEST_PAUSE)
            state.open_until = now + state.pause
