"""Webhooks and their deliveries."""

from contracts import webhooks as calls
from contracts.overview import LIST_OUTCOMES
from fastapi import APIRouter, Security

from edge.auth.access import tenant
from edge.call_route import CallRoute, Endpoint

READ = [Security(tenant, scopes=["webhooks:read"])]
WRITE = [Security(tenant, scopes=["webhooks:write"])]

router = APIRouter(prefix="/v1", tags=["Webhooks"], route_class=CallRoute)

router.post("/admin/webhooks", summary="Create a webhook", dependencies=WRITE)(
    Endpoint(calls.CREATE_WEBHOOK)
)
router.get("/admin/webhooks", summary="List webhooks", dependencies=READ)(
    Endpoint(calls.LIST_WEBHOOKS)
)
router.get("/admin/webhooks/{id}", summary="Get a webhook", dependencies=READ)(
    Endpoint(calls.GET_WEBHOOK)
)
router.patch("/admin/webhooks/{id}", summary="Update a webhook", dependencies=WRITE)(
    Endpoint(calls.UPDATE_WEBHOOK)
)
router.delete("/admin/webhooks/{id}", summary="Delete a webhook", dependencies=WRITE)(
    Endpoint(calls.DELETE_WEBHOOK)
)
router.post(
    "/admin/webhooks/{id}/rotate-secret",
    summary="Rotate the secret of a webhook",
    dependencies=WRITE,
)(Endpoint(calls.ROTATE_SECRET))
router.post("/admin/webhooks/{id}/test", summary="Send a test event", dependencies=WRITE)(
    Endpoint(calls.SEND_TEST)
)
router.post("/admin/webhooks/{id}/replay", summary="Queue failed events again", dependencies=WRITE)(
    Endpoint(calls.REPLAY)
)
router.get(
    "/admin/webhooks/{id}/outcomes",
    summary="List the outcomes of deliveries by hour",
    dependencies=READ,
)(Endpoint(LIST_OUTCOMES))
router.get("/admin/webhooks/{id}/deliveries", summary="List deliveries", dependencies=READ)(
    Endpoint(calls.LIST_DELIVERIES)
)
router.get(
    "/admin/webhooks/{id}/deliveries/{delivery_id}", summary="Get a delivery", dependencies=READ
)(Endpoint(calls.GET_DELIVERY))
router.post(
    "/admin/webhooks/{id}/deliveries/{delivery_id}/retry",
    summary="Send a delivery again",
    dependencies=WRITE,
)(Endpoint(calls.RETRY_DELIVERY))
