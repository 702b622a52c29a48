"""Received webhooks: verified by the Standard Webhooks specification, then parsed.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from collections.abc import Mapping

from contracts.catalogue import EVENT_TYPES
from contracts.events import Event, EventData
from pydantic import ValidationError
from standardwebhooks import Webhook, WebhookVerificationError
from standardwebhooks.webhooks import EmptyWebhookSecretError

from tenantry_client.errors import InvalidSignatureError, UnexpectedResponseError
from tenantry_client.requests import parse


def verify(secret: str, body: bytes, headers: Mapping[str, str]) -> Event:
    """The event of a request, whose body must be the bytes that were received.

    `secret` is the webhook's (`whsec_…`). Raises InvalidSignatureError, also if the event was
    signed more than five minutes ago; UnexpectedResponseError for what is no event. An event can
    come twice, with the same id.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        Webhook(secret).verify(body.decode(), lower, json_parse=False)
    except (WebhookVerificationError, EmptyWebhookSecretError, ValueError) as error:
        raise InvalidSignatureError(str(error)) from error
    return parse(Event, body)


def data_of(event: Event) -> EventData | None:
    """The `data` as the model of its type; None if this client does not know the type.

    Raises UnexpectedResponseError for data that is not of that type.
    """
    kind = EVENT_TYPES.get(event.type)
    try:
        return None if kind is None else kind.model_validate(event.data, extra="ignore")
    except ValidationError as error:
        raise UnexpectedResponseError(f"no data of {event.type}: {error}") from error
