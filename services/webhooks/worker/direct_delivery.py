"""Sends deliveries that were leased as they were queued, beside what the dispatcher claims.

Only the process that consumes the events has any.
"""

from collections.abc import Collection, Sequence

from webhooks.queue.leased import LeasedDelivery
from webhooks.worker.dispatcher import Dispatcher


class DirectDelivery:
    """Before it is connected nothing is free: all deliveries are claimed."""

    def __init__(self) -> None:
        self._dispatcher: Dispatcher | None = None

    def connect(self, dispatcher: Dispatcher | None) -> None:
        self._dispatcher = dispatcher

    def free(self, tenants: Collection[str]) -> dict[str, int]:
        """How many deliveries of each tenant may be leased to `start`."""
        return self._dispatcher.free(tenants) if self._dispatcher else {}

    def start(self, leased: Sequence[LeasedDelivery]) -> None:
        if self._dispatcher:
            self._dispatcher.start(leased)
