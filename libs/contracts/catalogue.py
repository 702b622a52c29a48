"""Every call and every event type in one place: importing this fills `EVENT_TYPES`."""

from contracts import (
    api_keys,
    audit,
    organizations,
    projects,
    signing_keys,
    tenants,
    users,
    webhooks,
)
from contracts.calls import Call
from contracts.events import EVENT_TYPES

CALLS: list[Call] = [
    value
    for module in (
        api_keys,
        audit,
        organizations,
        projects,
        signing_keys,
        tenants,
        users,
        webhooks,
    )
    for value in vars(module).values()
    if isinstance(value, Call)
]

__all__ = ["CALLS", "EVENT_TYPES"]
