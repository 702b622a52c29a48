"""Batches under load: each costs a handful of statements, whatever its size, so more wait for it.

A batch that comes alone waits for nothing; many in a row become no more than so many a second.
"""

import time

IN_A_ROW = 8
"""So many follow one another at once before any of them pauses."""


class Pace:
    """At most one batch each so many `seconds` in the long run (GCRA, a leaky bucket)."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due_at = 0.0

    def pause(self) -> float:
        """Called after each batch: for how many seconds more should gather."""
        now = time.monotonic()
        self._due_at = max(self._due_at, now) + self._seconds
        return max(0.0, self._due_at - now - IN_A_ROW * self._seconds)
