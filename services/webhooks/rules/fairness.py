"""Which deliveries are sent next: tenants take turns, and within a tenant its webhooks.

Pure. Retries get only a part of the capacity, so that many of them cannot starve first attempts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MANUAL, FIRST, RETRY = 0, 1, 2
"""Why a delivery is in the queue: somebody requested it, it is new, or it failed before."""

Shares = dict[tuple[str, str, int], int]
"""How many deliveries to start, by (tenant, webhook, kind)."""


@dataclass
class WebhookQueue:
    """One webhook's ready deliveries, counted by kind, and how many of them may start.

    A circuit breaker limits `capacity`, but not `manual_capacity`, which deliveries of kind MANUAL
    have. The last `beyond` of `capacity` are more than any webhook has: see `rules.window`.
    """

    tenant_id: str
    webhook_id: str
    ready: list[int]
    capacity: int
    manual_capacity: int = 0
    beyond: int = 0


@dataclass
class Capacity:
    """How many deliveries may start: in total, how many of them retries, and how many of a tenant,
    where those in flight count.

    What is reserved is for tenants and webhooks with no more in flight than any may have: so those
    that have more and then hang leave others as much as without them.
    """

    total: int
    retries: int
    per_tenant: int
    in_flight: Mapping[str, int] = field(default_factory=dict)
    usual_of_tenant: int | None = None
    reserved: int = 0
    reserved_of_tenant: int = 0


def share_capacity(queues: Sequence[WebhookQueue], capacity: Capacity) -> Shares:
    """Gives each tenant in turn one delivery of its next webhook, until nothing is left."""
    by_tenant: dict[str, list[WebhookQueue]] = {}
    for queue in queues:
        by_tenant.setdefault(queue.tenant_id, []).append(queue)
    left = {tenant: capacity.per_tenant - capacity.in_flight.get(tenant, 0) for tenant in by_tenant}
    shares: Shares = {}
    total, retries = capacity.total, capacity.retries
    beyond_usual = capacity.per_tenant - (capacity.usual_of_tenant or capacity.per_tenant)
    while total > 0 and by_tenant:
        for tenant in list(by_tenant):
            kind = None
            is_spare = total > capacity.reserved
            least_left = 0 if is_spare else beyond_usual
            spare = is_spare and left[tenant] > capacity.reserved_of_tenant
            while left[tenant] > least_left and by_tenant[tenant] and kind is None:
                queue = by_tenant[tenant].pop(0)
                kind = _take_next(queue, retries=retries > 0, spare=spare)
            if kind is None or total <= 0:
                del by_tenant[tenant]
                continue
            key = (tenant, queue.webhook_id, kind)
            shares[key] = shares.get(key, 0) + 1
            total, left[tenant] = total - 1, left[tenant] - 1
            retries -= kind == RETRY
            by_tenant[tenant].append(queue)
    return shares


def _take_next(queue: WebhookQueue, *, retries: bool, spare: bool) -> int | None:
    """Takes one delivery and returns its kind; retries alternate with first attempts."""
    if queue.ready[MANUAL] and queue.manual_capacity > 0:
        kind = MANUAL
    elif queue.capacity <= (0 if spare else queue.beyond):
        return None
    elif queue.ready[RETRY] and retries and (queue.capacity % 2 == 0 or not queue.ready[FIRST]):
        kind = RETRY
    elif queue.ready[FIRST]:
        kind = FIRST
    else:
        return None
    queue.ready[kind] -= 1
    queue.capacity -= 1
    queue.manual_capacity -= 1
    return kind
