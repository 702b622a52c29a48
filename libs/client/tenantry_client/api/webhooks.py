"""Webhooks, their deliveries, and the types of event that they can receive."""

from contracts.catalogue import EventTypes
from contracts.models import DeleteQuery, DeletionPreview
from contracts.overview import Outcomes, OutcomesQuery
from contracts.webhooks import (
    CreateWebhook,
    DeliveriesQuery,
    Delivery,
    DeliveryDetail,
    DeliveryPage,
    IssuedWebhook,
    Replay,
    Replayed,
    SendTest,
    UpdateWebhook,
    Webhook,
    WebhookPage,
    WebhooksQuery,
)

from tenantry_client.requests import Pages, Request

_WEBHOOKS = "/v1/admin/webhooks"
_WEBHOOK = _WEBHOOKS + "/{id}"
_DELIVERIES = _WEBHOOK + "/deliveries"
_DELIVERY = _DELIVERIES + "/{delivery_id}"


def create_webhook(webhook: CreateWebhook) -> Request[IssuedWebhook]:
    """The secret, which `webhooks.verify` needs, is shown this once."""
    return Request("POST", _WEBHOOKS, {201: IssuedWebhook}, body=webhook)


def list_webhooks(query: WebhooksQuery = WebhooksQuery()) -> Pages[WebhookPage, Webhook]:
    return Pages("GET", _WEBHOOKS, {200: WebhookPage}, query=query, name="webhooks")


def get_webhook(webhook_id: str) -> Request[Webhook]:
    return Request("GET", _WEBHOOK, {200: Webhook}, (webhook_id,))


def update_webhook(webhook_id: str, patch: UpdateWebhook) -> Request[Webhook]:
    return Request("PATCH", _WEBHOOK, {200: Webhook}, (webhook_id,), body=patch)


def delete_webhook(
    webhook_id: str, query: DeleteQuery = DeleteQuery()
) -> Request[DeletionPreview | None]:
    return Request("DELETE", _WEBHOOK, {204: None, 200: DeletionPreview}, (webhook_id,), query)


def rotate_secret(webhook_id: str) -> Request[IssuedWebhook]:
    """The new secret is shown this once; both sign for 24 hours."""
    return Request("POST", _WEBHOOK + "/rotate-secret", {200: IssuedWebhook}, (webhook_id,))


def send_test(webhook_id: str, test: SendTest = SendTest()) -> Request[Delivery]:
    return Request("POST", _WEBHOOK + "/test", {202: Delivery}, (webhook_id,), body=test)


def replay(webhook_id: str, what: Replay) -> Request[Replayed]:
    """Sends deliveries again that did not succeed."""
    return Request("POST", _WEBHOOK + "/replay", {202: Replayed}, (webhook_id,), body=what)


def list_outcomes(webhook_id: str, query: OutcomesQuery = OutcomesQuery()) -> Request[Outcomes]:
    """What became of the attempts of each of the last hours."""
    return Request("GET", _WEBHOOK + "/outcomes", {200: Outcomes}, (webhook_id,), query)


def list_deliveries(
    webhook_id: str, query: DeliveriesQuery = DeliveriesQuery()
) -> Pages[DeliveryPage, Delivery]:
    responses = {200: DeliveryPage}
    return Pages("GET", _DELIVERIES, responses, (webhook_id,), query, name="deliveries")


def get_delivery(webhook_id: str, delivery_id: str) -> Request[DeliveryDetail]:
    return Request("GET", _DELIVERY, {200: DeliveryDetail}, (webhook_id, delivery_id))


def retry_delivery(webhook_id: str, delivery_id: str) -> Request[Delivery]:
    return Request("POST", _DELIVERY + "/retry", {202: Delivery}, (webhook_id, delivery_id))


def list_event_types() -> Request[EventTypes]:
    """With a JSON Schema and an example of each."""
    return Request("GET", "/v1/admin/event-types", {200: EventTypes})
