"""The calls that audit answers, and the function that handles each. Only events write here."""

from chassis.database import Pool
from chassis.unit_of_work import Handler
from contracts import audit as calls
from contracts import overview as overview_calls
from contracts import search as search_calls
from contracts.calls import Call

from audit import export, overview, proof, queries, tree_proofs
from audit.settings import AuditSettings


def handlers(*, exports: Pool, proofs: Pool, settings: AuditSettings) -> dict[Call, Handler]:
    """What costs much has a pool of its own, so that nothing else waits for a connection."""
    return {
        calls.LIST_EVENTS: queries.list_events,
        calls.GET_EVENT: queries.get_event,
        calls.GET_FEED: queries.get_feed,
        overview_calls.GET_EVENTS_OVERVIEW: overview.get_events_overview,
        search_calls.SEARCH_EVENTS: queries.search_events,
        calls.EXPORT_EVENTS: export.export_events.bind(exports=exports),
        calls.GET_PROOF: proof.get_proof.bind(proofs=proofs),
        calls.GET_CHECKPOINT: tree_proofs.get_checkpoint,
        calls.GET_CHECKPOINT_KEYS: tree_proofs.get_checkpoint_keys.bind(settings=settings),
        calls.GET_INCLUSION: tree_proofs.get_inclusion,
        calls.GET_CONSISTENCY: tree_proofs.get_consistency,
    }
