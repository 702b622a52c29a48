"""Which call is answered by which function: the table of audit. Nobody writes here but events."""

from chassis.unit_of_work import Routes
from contracts import audit as calls

from audit import export, proof, trail

ROUTES = Routes(
    reads={
        calls.LIST_EVENTS: trail.find_all,
        calls.GET_EVENT: trail.find,
        calls.GET_FEED: trail.feed,
        calls.EXPORT_EVENTS: export.export,
        calls.GET_PROOF: proof.prove,
    },
    writes={},
)
