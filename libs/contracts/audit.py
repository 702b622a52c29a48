"""The audit trail (service: audit)."""

from typing import Annotated, Literal

from pydantic import Field

from contracts.calls import Call
from contracts.context import ActorType
from contracts.events import Changes, EventData
from contracts.fields import DIGITS, FromDay, Instant, UntilDay
from contracts.ids import EventId, TenantId
from contracts.models import ListQuery, Pagination, Query, Resource

NEXT_HEADER = "Tenantry-Next"
"""Of a chunk of an export: the sequence to give as `before` for the next one; absent at the end."""

_Word = Annotated[str, Field(pattern=r"^[!-~]{1,128}$")]


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


class AuditFilters(Query):
    """Dates are inclusive; `action` is exact or a family such as `user.*`."""

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


class AuditQuery(AuditFilters, ListQuery):
    """A page of what the filters let through."""


class ExportQuery(AuditFilters):
    """`before`: only events of a lower sequence, for the chunk that follows another.

    Only the edge sends it; `x-internal` keeps it out of the OpenAPI document.
    """

    format: Literal["ndjson", "csv"] = "ndjson"
    before: Annotated[int, Field(ge=1), DIGITS] | None = Field(
        default=None, json_schema_extra={"x-internal": True}
    )


class Seal(Resource):
    """What binds an event into the chain, in hexadecimal; audit/chain.py tells how to recompute it.

    `salt` is null when the personal part was erased, or when there never was one. `subject` binds
    the changed personal fields; `subject_salt` is null once they are erased.
    """

    salt: str | None = Field(examples=["5f0c6c2f2c6a4e1f9d3b8a7e6f5d4c3b"])
    commitment: str | None = Field(
        examples=["2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"]
    )
    digest: str = Field(
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
    )
    subject: str | None = Field(
        default=None, examples=["60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"]
    )
    subject_salt: str | None = Field(default=None, examples=["0b1c2d3e4f5061728394a5b6c7d8e9fa"])


class ExportedEvent(AuditEvent):
    """A line of an NDJSON export: the event, and all that its digest is made of.

    `reason` says why a session was revoked or a key refused; `personal` names the fields of
    `changes` that stand in the erasable part.
    """

    tenant_id: TenantId
    reason: str | None = Field(examples=["expired"])
    traceparent: str = Field(examples=["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])
    personal: list[str] = Field(examples=[["email"]])
    seal: Seal


class FeedQuery(Query):
    """Events in `sequence` order after that number."""

    after: Annotated[int, Field(ge=0), DIGITS] = 0
    limit: Annotated[int, Field(ge=1, le=1000), DIGITS] = 100


class ProofQuery(Query):
    """`after`: where the answer before has ended, its `next_after`."""

    after: Annotated[int, Field(ge=0), DIGITS] = 0


class Mark(Resource):
    """What was done to the past of the trail, up to the event of that sequence and digest.

    `dropped`: by retention. `closed` and `erased`: with the tenant. `restored`: what had come after
    this event is not in the backup that was restored.
    """

    kind: Literal["dropped", "closed", "erased", "restored"] = Field(examples=["dropped"])
    sequence: int = Field(examples=[40])
    digest: str | None = Field(
        examples=["2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"]
    )
    marked_at: Instant


class Proof(Resource):
    """The tenant's chain, recomputed. `head` is the digest of the last event in hexadecimal.

    `length` events are there, after those up to `floor` that retention has dropped. A long trail
    is proved in several answers: this one has recomputed it up to `next_after`, and the trail is
    proved by the one in which that is null. `marks` are the newest 100.
    """

    valid: bool = Field(examples=[True])
    length: int = Field(examples=[1234])
    floor: int = Field(examples=[0])
    head: str | None = Field(
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
    )
    first_broken: int | None = Field(examples=[None])
    next_after: int | None = Field(examples=[None])
    marks: list[Mark]


_BASE64 = ["MGMxYWRhYjAyZWRmMjNhN2QyYWUwZmE4ZDRlNzBhNDg="]
_Hashes = Annotated[list[str], Field(examples=[_BASE64])]


class InclusionQuery(Query):
    """`size`: how many events the tree has; without it, those of the newest checkpoint."""

    size: Annotated[int, Field(ge=1), DIGITS] | None = None


class Inclusion(Resource):
    """Proves that the event is the leaf `index` of the tree of the first `size` events.

    RFC 6962, section 2.1.1. `leaf` and `hashes` are base64. The hash of the leaf is
    SHA-256(0x00, leaf); the leaf is the canonical JSON that the chain digests: see `Seal`.
    """

    index: int = Field(examples=[41])
    size: int = Field(examples=[1234])
    leaf: str = Field(examples=["eyJhY3Rpb24iOiJ1c2VyLmNyZWF0ZWQiLCJhY3Rvcl9pZCI6bnVsbH0="])
    hashes: _Hashes


class ConsistencyQuery(Query):
    """Two sizes of the tree, such as those of two checkpoints."""

    from_: Annotated[int, Field(ge=0, alias="from"), DIGITS]
    to: Annotated[int, Field(ge=1), DIGITS]


class Consistency(Resource):
    """Proves that the tree of `from` events is the beginning of that of `to` events.

    RFC 6962, section 2.1.2, in base64.
    """

    from_: int = Field(alias="from", examples=[1000])
    to: int = Field(examples=[1234])
    hashes: _Hashes


class Feed(Resource):
    events: list[AuditEvent]
    next_after: int = Field(examples=[142])
    has_more: bool = Field(examples=[False])


LIST_EVENTS = Call("audit", "list_events", query=AuditQuery, result=AuditPage, may_lag=True)
GET_EVENT = Call("audit", "get_event", result=AuditEvent, path={"event_id": "evt"})
GET_PROOF = Call("audit", "get_proof", query=ProofQuery, result=Proof)
EXPORT_EVENTS = Call("audit", "export_events", query=ExportQuery)
GET_FEED = Call("audit", "get_feed", query=FeedQuery, result=Feed)
GET_CHECKPOINT = Call("audit", "get_checkpoint", problems=("not_found",))
GET_CHECKPOINT_KEYS = Call("audit", "get_checkpoint_keys", problems=("not_found",))
GET_INCLUSION = Call(
    "audit",
    "get_inclusion",
    query=InclusionQuery,
    result=Inclusion,
    path={"event_id": "evt"},
    problems=("checkpoint_pending",),
)
GET_CONSISTENCY = Call("audit", "get_consistency", query=ConsistencyQuery, result=Consistency)


class AuditCheckpoint(EventData, type="audit.checkpoint", service="audit"):
    """The tenant's trail was signed as it is: keep the checkpoint where nobody of ours can reach.

    `checkpoint` is a signed note (c2sp.org/tlog-checkpoint) of the first `size` events. `changes`
    have it too, so that the trail itself shows it.
    """

    tenant_id: TenantId
    size: int = Field(examples=[1234])
    checkpoint: str = Field(
        examples=[
            "example.com/audit/ten_01jt7a3v9qf8mbd2m0q5k4h6xz\n1234\n\
MGMxYWRhYjAyZWRmMjNhN2QyYWUwZmE4ZDRlNzBhNDg=\n\n\
\N{EM DASH} example.com/audit/ten_01jt7a3v9qf8mbd2m0q5k4h6xz AbcDEf...\n"
        ]
    )
    changes: Changes
