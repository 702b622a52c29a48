"""Concurrency limits: how many operations of a kind run at once, for one tenant and for all.

A slot is released when its response ends, however that is; a slot that came to no response is free
again once it is garbage.
"""

from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from contracts.problems import Problem
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


@dataclass(eq=False, slots=True, weakref_slot=True)
class Slot:
    """Held by one running operation."""

    tenant_id: str
    taken: "WeakSet[Slot]"

    def release(self) -> None:
        self.taken.discard(self)


class SlotResponse(StreamingResponse):
    """A stream that releases its slot when it ends."""

    def __init__(self, slot: Slot, content: Any, **response: Any) -> None:
        super().__init__(content, **response)
        self._slot = slot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._slot.release()


class ConcurrencyLimit:
    """`what` in the plural, as the problem names it."""

    def __init__(self, what: str, per_tenant: int, total: int) -> None:
        self._what = what
        self._per_tenant = per_tenant
        self._total = total
        self._taken: WeakSet[Slot] = WeakSet()

    def acquire(self, tenant_id: str) -> Slot:
        """Raises Problem: 429 when the tenant has enough, 503 when all slots are taken."""
        if sum(each.tenant_id == tenant_id for each in self._taken) >= self._per_tenant:
            detail = f"Too many {self._what} at once: {self._per_tenant} at most. Wait for one."
            raise Problem("rate_limited", detail, retry_after=1)
        if len(self._taken) >= self._total:
            raise Problem("service_unavailable", f"Too many {self._what} at once.", retry_after=1)
        slot = Slot(tenant_id, self._taken)
        self._taken.add(slot)
        return slot
