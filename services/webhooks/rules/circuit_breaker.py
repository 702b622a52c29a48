"""A circuit breaker for each webhook: while most attempts fail, the other deliveries wait.

It opens when 7 of the last 10 attempts within five minutes failed. Then one attempt at a time
probes the receiver, after 30 s, and each time after twice as long, at most five minutes. Pure.
"""

from collections import deque
from dataclasses import dataclass, field

WINDOW_SECONDS = 300.0
ATTEMPTS = 10
FAILURES = 7
FIRST_PAUSE = 30.0
MAX_PAUSE = 300.0


@dataclass
class _State:
    """`pause` is 0 while the circuit is closed."""

    attempts: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=ATTEMPTS))
    pause: float = 0.0
    open_until: float = 0.0
    is_probing: bool = False


class CircuitBreaker:
    """What this process knows of failing receivers; one that succeeds takes no memory.

    `receiver` is any name; `now` is in seconds of a monotonic clock.
    """

    def __init__(self) -> None:
        self._states: dict[str, _State] = {}

    def capacity(self, receiver: str, now: float, limit: int) -> int:
        """How many attempts may be in flight: `limit`, one as a probe, or none."""
        state = self._states.get(receiver)
        if state is None or not state.pause:
            return limit
        return 0 if now < state.open_until or state.is_probing else 1

    def record_start(self, receiver: str) -> None:
        """An attempt starts; if the circuit is open it is the probe."""
        state = self._states.get(receiver)
        if state is not None and state.pause:
            state.is_probing = True

    def record_result(self, receiver: str, now: float, succeeded: bool) -> float:
        """An attempt ended. Returns for how many seconds the circuit is open from now on, if that
        is why; else 0.
        """
        if succeeded and receiver not in self._states:
            return 0.0
        state = self._states.setdefault(receiver, _State())
        state.is_probing = False
        state.attempts.append((now, succeeded))
        recent = [ok for at, ok in state.attempts if now - at <= WINDOW_SECONDS]
        if succeeded and (state.pause or all(recent)):
            del self._states[receiver]
        elif now >= state.open_until and (
            state.pause or (len(recent) == ATTEMPTS and recent.count(False) >= FAILURES)
        ):
            state.pause = min(state.pause * 2 or FIRST_PAUSE, MAX_PAUSE)
            state.open_until = now + state.pause
            return state.pause
        return 0.0
