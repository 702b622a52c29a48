"""Webhooks and their deliveries (service: webhooks)."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from contracts.calls import Call
from contracts.events import CONTENT_TYPE, EVENT_TYPES, Changes, Event, EventData, matches
from contracts.examples import example_event
from contracts.fields import (
    Description,
    DescriptionInput,
    FromDay,
    Instant,
    UntilDay,
    fault,
)
from contracts.ids import DeliveryId, EventId, WebhookId
from contracts.models import Body, DeleteQuery, ListQuery, Pagination, Resource, absent
from contracts.readable_text import WhenChanged, check_name
from contracts.users import UserCreated

WebhookStatus = Literal["active", "disabled"]
DeliveryStatus = Literal["pending", "succeeded", "failed"]
ContentType = Literal["application/cloudevents+json", "application/json"]
"""What the bodies of a webhook are called: an SDK of CloudEvents looks for the first."""
TEST_EVENT = "webhook.test"


def matching_types(pattern: str) -> list[str]:
    """The types that the pattern covers, that of test events included."""
    return [each for each in (*EVENT_TYPES, TEST_EVENT) if matches(pattern, each)]


def _patterns(values: list[str]) -> list[str]:
    if len(set(values)) != len(values):
        raise fault("duplicate", "must not contain the same entry twice")
    for value in values:
        if not set(matching_types(value)) - {TEST_EVENT}:
            raise _unknown_type()
    return values


def _pattern(value: str) -> str:
    if not matching_types(value):
        raise _unknown_type()
    return value


def _unknown_type() -> PydanticCustomError:
    return fault(
        "unknown_event_type",
        "must be event types, such as user.created, user.* or *; "
        "GET /v1/admin/event-types lists them",
    )


Url = Annotated[
    str, Field(min_length=1, max_length=2048, examples=["https://hooks.example.com/in"])
]
"""The owner checks its form and any literal address."""
EventPatterns = Annotated[
    list[Annotated[str, Field(max_length=64)]],
    Field(min_length=1, max_length=100, examples=[["organization.*", "user.created"]]),
    AfterValidator(_patterns),
]
ActorIds = Annotated[
    list[Annotated[str, Field(pattern=r"^[!-~]{1,64}$")]],
    Field(max_length=100, examples=[["key_01jt7a3v9qf8mbd2m0q5k4h6xz"]]),
]


class Webhook(Resource):
    id: WebhookId
    url: str = Field(examples=["https://hooks.example.com/in"])
    description: str | None = Field(examples=["Feeds the billing system"])
    events: list[str] = Field(examples=[["organization.*", "user.created"]])
    ignore_actor_ids: list[str] = Field(examples=[[]])
    # Events of older releases lack it.
    content_type: ContentType = Field(default="application/json", examples=[CONTENT_TYPE])
    status: WebhookStatus = Field(examples=["active"])
    disabled_reason: str | None = Field(examples=[None])
    version: int = Field(examples=[1])
    created_at: Instant
    updated_at: Instant


class IssuedWebhook(Webhook):
    """`secret` is shown once."""

    secret: str = Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])


class WebhookPage(Resource):
    webhooks: list[Webhook]
    pagination: Pagination


class CreateWebhook(Body):
    url: Url
    events: EventPatterns
    description: DescriptionInput | None = None
    ignore_actor_ids: ActorIds = []
    content_type: ContentType = CONTENT_TYPE


class UpdateWebhook(Body):
    url: Url = absent()
    events: EventPatterns = absent()
    description: Annotated[Description | None, WhenChanged(check_name)] = absent()
    ignore_actor_ids: ActorIds = absent()
    content_type: ContentType = absent()
    status: WebhookStatus = absent()


class WebhooksQuery(ListQuery):
    status: WebhookStatus | None = None


class Attempt(Resource):
    """One POST. `response_body` is its first 4 KiB; `error` says why there was no answer."""

    number: int = Field(examples=[1])
    at: Instant
    duration_ms: int = Field(examples=[84])
    response_status: int | None = Field(examples=[200])
    response_body: str | None = Field(examples=["ok"])
    error: str | None = Field(examples=[None])


class Delivery(Resource):
    id: DeliveryId
    webhook_id: WebhookId
    event_id: EventId
    event_type: str = Field(examples=["user.created"])
    status: DeliveryStatus = Field(examples=["succeeded"])
    attempts: list[Attempt]
    next_attempt_at: Instant | None
    created_at: Instant
    completed_at: Instant | None


class DeliveryDetail(Delivery):
    """`payload` is the body that was, or will be, sent."""

    payload: Event = Field(examples=[example_event(UserCreated)])


class DeliveryPage(Resource):
    deliveries: list[Delivery]
    pagination: Pagination


class DeliveriesQuery(ListQuery):
    status: DeliveryStatus | None = None
    event_type: Annotated[str, Field(max_length=64), AfterValidator(_pattern)] | None = None
    created_after: FromDay | None = None
    created_before: UntilDay | None = None


class SendTest(Body):
    event_type: Annotated[str, Field(max_length=64, examples=["user.created"])] = TEST_EVENT


class Replay(Body):
    since: Instant
    until: Instant | None = None
    events: EventPatterns | None = None


class Replayed(Resource):
    """`queued` counts the first 20,000 events of the period: if it has more, it is not exact."""

    queued: int = Field(examples=[42])
    queued_exact: bool = Field(default=True, examples=[True])


_WEBHOOK = {"id": "whk"}
_DELIVERY = {"id": "whk", "delivery_id": "dlv"}

CREATE_WEBHOOK = Call(
    "webhooks",
    "create_webhook",
    body=CreateWebhook,
    result=IssuedWebhook,
    status=201,
    problems=("quota_exceeded",),
    shows_secret=True,
)
LIST_WEBHOOKS = Call(
    "webhooks", "list_webhooks", query=WebhooksQuery, result=WebhookPage, may_lag=True
)
GET_WEBHOOK = Call("webhooks", "get_webhook", result=Webhook, path=_WEBHOOK)
UPDATE_WEBHOOK = Call(
    "webhooks",
    "update_webhook",
    body=UpdateWebhook,
    result=Webhook,
    path=_WEBHOOK,
    problems=("version_mismatch",),
)
DELETE_WEBHOOK = Call(
    "webhooks",
    "delete_webhook",
    query=DeleteQuery,
    status=204,
    path=_WEBHOOK,
    problems=("version_mismatch",),
)
ROTATE_SECRET = Call(
    "webhooks",
    "rotate_secret",
    result=IssuedWebhook,
    path=_WEBHOOK,
    shows_secret=True,
)
LIST_DELIVERIES = Call(
    "webhooks",
    "list_deliveries",
    query=DeliveriesQuery,
    result=DeliveryPage,
    path=_WEBHOOK,
    may_lag=True,
)
GET_DELIVERY = Call("webhooks", "get_delivery", result=DeliveryDetail, path=_DELIVERY)
RETRY_DELIVERY = Call(
    "webhooks",
    "retry_delivery",
    result=Delivery,
    status=202,
    path=_DELIVERY,
    problems=("webhook_disabled",),
)
REPLAY = Call(
    "webhooks",
    "replay",
    body=Replay,
    result=Replayed,
    status=202,
    path=_WEBHOOK,
    problems=("webhook_disabled",),
)
SEND_TEST = Call(
    "webhooks",
    "send_test",
    body=SendTest,
    result=Delivery,
    status=202,
    path=_WEBHOOK,
    problems=("webhook_disabled",),
)


class WebhookCreated(EventData, type="webhook.created", service="webhooks"):
    """A webhook was created."""

    webhook: Webhook


class WebhookUpdated(EventData, type="webhook.updated", service="webhooks"):
    """Fields of a webhook changed; enabling it again is a change of `status`."""

    webhook: Webhook
    changes: Changes


class WebhookDeleted(EventData, type="webhook.deleted", service="webhooks"):
    """A webhook was deleted, with its pending deliveries."""

    webhook: Webhook


class WebhookDisabled(EventData, type="webhook.disabled", service="webhooks"):
    """A webhook was disabled, by a 410 or after five days of failures only."""

    webhook: Webhook


class WebhookSecretRotated(EventData, type="webhook.secret_rotated", service="webhooks"):
    """A webhook has a new secret; the old one signs for 24 hours more."""

    webhook: Webhook
