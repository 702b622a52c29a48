"""The audit trail: pages, proof, export, and the feed of events."""

from contracts.audit import (
    AuditEvent,
    AuditPage,
    AuditQuery,
    Consistency,
    ConsistencyQuery,
    ExportedEvent,
    Feed,
    FeedQuery,
    Inclusion,
    InclusionQuery,
    Proof,
    ProofQuery,
)

from tenantry_client.models import ExportQuery
from tenantry_client.requests import Lines, Pages, Request, Text

_AUDIT = "/v1/admin/audit"
_EVENTS = "/v1/admin/events"


def list_events(query: AuditQuery = AuditQuery()) -> Pages[AuditPage, AuditEvent]:
    """Newest first."""
    return Pages("GET", _AUDIT, {200: AuditPage}, query=query, name="events")


def get_event(event_id: str) -> Request[AuditEvent]:
    return Request("GET", _AUDIT + "/{event_id}", {200: AuditEvent}, (event_id,))


def get_proof(query: ProofQuery = ProofQuery()) -> Request[Proof]:
    """The result of a check of the tenant's hash chain; of a long one continue at `next_after`."""
    return Request("GET", _AUDIT + "/proof", {200: Proof}, query=query)


def get_checkpoint() -> Text:
    """The newest signed checkpoint of the trail: keep it where nobody of the product can reach."""
    return Text("GET", _AUDIT + "/checkpoint", {200: None})


def get_checkpoint_keys() -> Text:
    """The keys that verify checkpoints, one a line, the newest first."""
    return Text("GET", _AUDIT + "/checkpoint-key", {200: None})


def get_inclusion(event_id: str, query: InclusionQuery = InclusionQuery()) -> Request[Inclusion]:
    """Proves that the event is in the tree, by default in that of the newest checkpoint."""
    path = _AUDIT + "/{event_id}/inclusion"
    return Request("GET", path, {200: Inclusion}, (event_id,), query=query)


def get_consistency(query: ConsistencyQuery) -> Request[Consistency]:
    """Proves that a smaller tree is the beginning of a larger one."""
    return Request("GET", _AUDIT + "/consistency", {200: Consistency}, query=query)


def export_events(query: ExportQuery = ExportQuery()) -> Lines[ExportedEvent]:
    """The whole trail, or the part that the filters select, newest first."""
    return Lines("GET", _AUDIT + "/export", {200: None}, query=query, item=ExportedEvent)


def get_feed(query: FeedQuery = FeedQuery()) -> Request[Feed]:
    """The events after a sequence, in order; continue at `next_after`."""
    return Request("GET", _EVENTS, {200: Feed}, query=query)


def follow_events(query: FeedQuery = FeedQuery()) -> Lines[AuditEvent]:
    """New events as they happen. It ends after an hour at most: follow again from the last one."""
    headers = {"Accept": "text/event-stream"}
    return Lines(
        "GET", _EVENTS, {200: None}, query=query, headers=headers, item=AuditEvent, prefix=b"data: "
    )
