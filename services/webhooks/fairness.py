"""Who is sent next: tenants take turns, in each tenant its webhooks, each delivery by its turn.

Pure. First attempts keep slots of their own, so that a storm of retries does not starve them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

BY_HAND, FIRST, AGAIN = 0, 1, 2
"""Why a delivery waits: somebody asked for it just now, it is new, or it failed before."""


@dataclass
class Lane:
    """A webhook with deliveries that are due: `due` so many of each kind, `room` for so many."""

    tenant_id: str
    webhook_id: str
    due: list[int]
    room: int
    by_hand: int = 0
    """Room for what was asked by hand, which no breaker holds back."""


@dataclass
class Room:
    """What may be started: in all, of retries, and for each tenant beyond what it has under way."""

    slots: int
    again: int
    tenant: int
    under_way: dict[str, int] = field(default_factory=dict)


def allot(lanes: Sequence[Lane], room: Room) -> dict[tuple[str, str, int], int]:
    """How many of each kind to start, by (tenant, webhook, kind)."""
    turns: dict[str, list[Lane]] = {}
    for lane in lanes:
        turns.setdefault(lane.tenant_id, []).append(lane)
    left = {tenant: room.tenant - room.under_way.get(tenant, 0) for tenant in turns}
    taken: dict[tuple[str, str, int], int] = {}
    slots, again = room.slots, room.again
    while slots > 0 and turns:
        for tenant in list(turns):
            kind = None
            while left[tenant] > 0 and turns[tenant] and kind is None:
                lane = turns[tenant].pop(0)
                kind = _next_kind(lane, retries=again > 0)
            if kind is None or slots <= 0:
                del turns[tenant]
                continue
            key = (tenant, lane.webhook_id, kind)
            taken[key] = taken.get(key, 0) + 1
            slots, left[tenant] = slots - 1, left[tenant] - 1
            again -= kind == AGAIN
            turns[tenant].append(lane)
    return taken


def _next_kind(lane: Lane, *, retries: bool) -> int | None:
    """Takes one from the lane; a retry in every other place, so that both go on."""
    if lane.due[BY_HAND] and lane.by_hand > 0:
        kind = BY_HAND
    elif lane.room <= 0:
        return None
    elif lane.due[AGAIN] and retries and (lane.room % 2 == 0 or not lane.due[FIRST]):
        kind = AGAIN
    elif lane.due[FIRST]:
        kind = FIRST
    else:
        return None
    lane.due[kind] -= 1
    lane.room -= 1
    lane.by_hand -= 1
    return kind
