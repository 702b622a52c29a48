"""The audit trail: pages, proof, export, and the feed of events."""

from contracts.audit import (
    AuditEvent,
    AuditPage,
    AuditQuery,
    ExportedEvent,
    Feed,
    FeedQuery,
    Proof,
    ProofQuery,
)

from tenantry_client.models import ExportQuery
from tenantry_client.requests import Lines, Pages, Request

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
