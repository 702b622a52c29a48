"""Identifiers: TypeIDs, a three-letter prefix and a UUIDv7, so that they sort by creation.

Shape: `org_` and 26 characters of Crockford base32. https://github.com/jetify-com/typeid
"""

import re
from typing import Annotated

from pydantic import Field
from typeid import TypeID

_SUFFIX = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")


def new_id(prefix: str) -> str:
    """A fresh identifier such as `org_01jt7a3v9qf8mbd2m0q5k4h6xz`."""
    return str(TypeID(prefix=prefix))


def is_id(prefix: str, value: str) -> bool:
    """Whether `value` has the form of an identifier with that prefix."""
    return value.startswith(prefix + "_") and _SUFFIX.fullmatch(value, len(prefix) + 1) is not None


def _field(prefix: str) -> object:
    return Field(
        pattern=f"^{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$",
        examples=[f"{prefix}_01jt7a3v9qf8mbd2m0q5k4h6xz"],
    )


TenantId = Annotated[str, _field("ten")]
ProjectId = Annotated[str, _field("prj")]
ApiKeyId = Annotated[str, _field("key")]
SigningKeyId = Annotated[str, _field("sgk")]
UserId = Annotated[str, _field("usr")]
SessionId = Annotated[str, _field("ses")]
OrganizationId = Annotated[str, _field("org")]
InvitationId = Annotated[str, _field("inv")]
WebhookId = Annotated[str, _field("whk")]
DeliveryId = Annotated[str, _field("dlv")]
EventId = Annotated[str, _field("evt")]
