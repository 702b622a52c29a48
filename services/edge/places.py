"""Places: how much of a kind may be under way at once, of one tenant and of all.

A place is given back when its answer ends, however that is; one that came to no answer is free
again when nothing holds it any more.
"""

from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from contracts.problems import Problem
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


@dataclass(eq=False, slots=True, weakref_slot=True)
class Place:
    """Held by whatever is under way."""

    tenant_id: str
    taken: "WeakSet[Place]"

    def leave(self) -> None:
        self.taken.discard(self)


class HeldResponse(StreamingResponse):
    """Streams as long as it may, and gives its place back."""

    def __init__(self, place: Place, content: Any, **response: Any) -> None:
        super().__init__(content, **response)
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._place.leave()


class Places:
    """`what` in the plural, as a caller is told."""

    def __init__(self, what: str, of_tenant: int, of_all: int) -> None:
        self._what = what
        self._of_tenant = of_tenant
        self._of_all = of_all
        self._taken: WeakSet[Place] = WeakSet()

    def take(self, tenant_id: str) -> Place:
        """Raises Problem: 429 when the tenant has enough, 503 when all are taken."""
        if sum(each.tenant_id == tenant_id for each in self._taken) >= self._of_tenant:
            detail = f"Too many {self._what} at once: {self._of_tenant} at most. Wait for one."
            raise Problem("rate_limited", detail, retry_after=1)
        if len(self._taken) >= self._of_all:
            raise Problem("service_unavailable", f"Too many {self._what} at once.", retry_after=1)
        place = Place(tenant_id, self._taken)
        self._taken.add(place)
        return place
