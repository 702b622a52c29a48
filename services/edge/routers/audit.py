"""The audit trail: pages, proof, export, and the feed of events."""

from contracts import audit as calls
from fastapi import APIRouter, Security

from edge.audit_streams import EVENT_STREAM, export_events, follow_events, get_proof
from edge.auth.access import tenant
from edge.call_route import CallRoute, Endpoint

READ = [Security(tenant, scopes=["audit:read"])]
_TEXT = {"schema": {"type": "string"}}
_NOTE = {"text/plain": _TEXT}
_EXPORT = {"application/x-ndjson": _TEXT, "text/csv": _TEXT}

router = APIRouter(prefix="/v1", tags=["Audit"], route_class=CallRoute)

router.get("/admin/audit", summary="List audit events", dependencies=READ)(
    Endpoint(calls.LIST_EVENTS)
)
router.get(
    "/admin/audit/export",
    summary="Export audit events",
    description="Newest first. Only an export as NDJSON without filters can be proven complete.",
    dependencies=READ,
    responses={200: {"content": _EXPORT}},
)(Endpoint(calls.EXPORT_EVENTS, export_events))
router.get("/admin/audit/proof", summary="Prove the audit trail", dependencies=READ)(
    Endpoint(calls.GET_PROOF, get_proof)
)
router.get(
    "/admin/audit/checkpoint",
    summary="Get the checkpoint of the audit trail",
    description="A signed note (c2sp.org/tlog-checkpoint). Keep it where we cannot reach it.",
    dependencies=READ,
    responses={200: {"content": _NOTE}},
)(Endpoint(calls.GET_CHECKPOINT))
router.get(
    "/admin/audit/checkpoint-key",
    summary="List the keys that verify checkpoints",
    description="Verifier keys (c2sp.org/signed-note), one a line, the newest first.",
    dependencies=READ,
    responses={200: {"content": _NOTE}},
)(Endpoint(calls.GET_CHECKPOINT_KEYS))
router.get(
    "/admin/audit/consistency",
    summary="Prove that the audit trail was only appended to",
    dependencies=READ,
)(Endpoint(calls.GET_CONSISTENCY))
router.get(
    "/admin/audit/{event_id}/inclusion",
    summary="Prove that an event is in the audit trail",
    dependencies=READ,
)(Endpoint(calls.GET_INCLUSION))
router.get("/admin/audit/{event_id}", summary="Get an audit event", dependencies=READ)(
    Endpoint(calls.GET_EVENT)
)
router.get(
    "/admin/events",
    summary="Follow the events",
    dependencies=READ,
    responses={200: {"content": {EVENT_STREAM: _TEXT}}},
)(Endpoint(calls.GET_FEED, follow_events))
