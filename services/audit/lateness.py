"""The lateness of an event: how far its creation lies behind the time under which it is filed.

In classes of growing length, so that the events that straddle a moment are found by a probe for
each class, however late the latest event ever was. Pure.
"""

from bisect import bisect_right
from datetime import datetime, timedelta

LATENESS_CLASSES = (
    *(timedelta(seconds=8**power) for power in range(12)),
    timedelta(days=3_650_000),
)
"""Class n is a delay of less than the n-th of these: 1 s, 8 s, 64 s ..."""


def lateness(created_at: datetime, filed_at: datetime) -> int:
    """The class of the delay: 0 for none, n for less than LATENESS_CLASSES[n - 1]."""
    if created_at == filed_at:
        return 0
    return bisect_right(LATENESS_CLASSES, filed_at - created_at) + 1
