"""Webhooks and their deliveries."""

from contracts import webhooks as calls

from edge.route import Route

_WEBHOOKS = "/v1/admin/webhooks"
_WEBHOOK = _WEBHOOKS + "/{id}"
_DELIVERIES = _WEBHOOK + "/deliveries"
_DELIVERY = _DELIVERIES + "/{delivery_id}"

_READ = "webhooks:read"
_WRITE = "webhooks:write"

ROUTES = [
    Route("POST", _WEBHOOKS, calls.CREATE_WEBHOOK, _WRITE, "Create a webhook"),
    Route("GET", _WEBHOOKS, calls.LIST_WEBHOOKS, _READ, "List webhooks"),
    Route("GET", _WEBHOOK, calls.GET_WEBHOOK, _READ, "Get a webhook"),
    Route("PATCH", _WEBHOOK, calls.UPDATE_WEBHOOK, _WRITE, "Update a webhook"),
    Route("DELETE", _WEBHOOK, calls.DELETE_WEBHOOK, _WRITE, "Delete a webhook"),
    Route("POST", _WEBHOOK + "/rotate-secret", calls.ROTATE_SECRET, _WRITE,
          "Rotate the secret of a webhook"),
    Route("POST", _WEBHOOK + "/test", calls.SEND_TEST, _WRITE, "Send a test event"),
    Route("POST", _WEBHOOK + "/replay", calls.REPLAY, _WRITE, "Queue failed events again"),
    Route("GET", _DELIVERIES, calls.LIST_DELIVERIES, _READ, "List deliveries"),
    Route("GET", _DELIVERY, calls.GET_DELIVERY, _READ, "Get a delivery"),
    Route("POST", _DELIVERY + "/retry", calls.RETRY_DELIVERY, _WRITE, "Send a delivery again"),
]  # fmt: skip
