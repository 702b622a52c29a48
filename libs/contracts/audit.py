"""The audit trail (service: audit)."""

from typing import Annotated, Literal

from pydantic import Field

from contracts.calls import Call
from contracts.context import ActorType
from contracts.events import Changes
from contracts.fields import Count, FromDay, Instant, UntilDay
from contracts.ids import EventId
from contracts.models import ListQuery, Pagination, Query, Resource

_Word = Annotated[str, Field(min_length=1, max_length=128)]


class AuditEvent(Resource):
    """One change, or one refused attempt. `sequence` is gapless in the tenant, from 1."""

    id: EventId
    sequence: int = Field(examples=[42])
    actor_type: ActorType = Field(examples=["api_key"])
    actor_id: str | None = Field(examples=["key_01jt7a3v9qf8mbd2m0q5k4h6xz"])
    action: str = Field(examples=["user.created"])
    resource_type: str = Field(examples=["user"])
    resource_id: str = Field(examples=["usr_01jt7a3v9qf8mbd2m0q5k4h6xz"])
    ip_address: str | None = Field(examples=["203.0.113.7"])
    user_agent: str | None = Field(examples=["curl/8.5.0"])
    request_id: str = Field(examples=["req_9f2c"])
    changes: Changes
    created_at: Instant


class AuditPage(Resource):
    events: list[AuditEvent]
    pagination: Pagination


class AuditQuery(ListQuery):
    start_date: FromDay | None = None
    end_date: UntilDay | None = None
    action: (
        Annotated[str, Field(pattern=r"^[a-z_]+\.([a-z_]+|\*)$", examples=["user.*"])] | None
    ) = None
    actor_type: ActorType | None = None
    actor_id: _Word | None = None
    resource_type: _Word | None = None
    resource_id: _Word | None = None
    request_id: _Word | None = None


class FeedQuery(Query):
    """Events in `sequence` order after that number."""

    after: Annotated[Count, Field(ge=0)] = 0
    limit: Annotated[Count, Field(ge=1, le=1000)] = 100


class Proof(Resource):
    """The tenant's chain, recomputed. `head` is the digest of the last event in hexadecimal."""

    valid: bool = Field(examples=[True])
    length: int = Field(examples=[1234])
    head: str | None = Field(
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
    )
    first_broken: int | None = Field(examples=[None])


class Feed(Resource):
    events: list[AuditEvent]
    next_after: int = Field(examples=[142])
    has_more: Literal[True, False] = Field(examples=[False])


LIST_EVENTS = Call("audit", "list_events", query=AuditQuery, result=AuditPage)
GET_EVENT = Call("audit", "get_event", result=AuditEvent, path={"event_id": "evt"})
GET_PROOF = Call("audit", "get_proof", result=Proof)
GET_FEED = Call("audit", "get_feed", query=FeedQuery, result=Feed)
