"""Which function handles which call."""

from chassis.unit_of_work import Handler
from contracts import overview as overview_calls
from contracts import search as search_calls
from contracts import webhooks as calls
from contracts.calls import Call

from webhooks.endpoints.rotate_secret import rotate_secret
from webhooks.endpoints.test_event import send_test_event
from webhooks.endpoints.webhooks import (
    create_webhook,
    delete_webhook,
    get_webhook,
    list_webhooks,
    update_webhook,
)
from webhooks.outcomes import get_webhooks_overview, list_outcomes
from webhooks.queue.deliveries import get_delivery, list_deliveries
from webhooks.queue.replay import replay, retry_delivery
from webhooks.search import search_webhooks


def handlers(*, allow_private: bool) -> dict[Call, Handler]:
    """`allow_private` is the development flag of `rules.address_policy`."""
    return {
        calls.CREATE_WEBHOOK: create_webhook.bind(allow_private=allow_private),
        calls.GET_WEBHOOK: get_webhook,
        calls.LIST_WEBHOOKS: list_webhooks,
        calls.UPDATE_WEBHOOK: update_webhook.bind(allow_private=allow_private),
        calls.DELETE_WEBHOOK: delete_webhook,
        calls.ROTATE_SECRET: rotate_secret,
        calls.SEND_TEST: send_test_event,
        calls.GET_DELIVERY: get_delivery,
        calls.LIST_DELIVERIES: list_deliveries,
        calls.RETRY_DELIVERY: retry_delivery,
        calls.REPLAY: replay,
        overview_calls.GET_WEBHOOKS_OVERVIEW: get_webhooks_overview,
        overview_calls.LIST_OUTCOMES: list_outcomes,
        search_calls.SEARCH_WEBHOOKS: search_webhooks,
    }
