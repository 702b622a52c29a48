"""How a delivery is signed: the headers of the Standard Webhooks specification.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"
SECRET_BYTES = 32


def shown_secret(secret: bytes) -> str:
    """The secret as its owner gets it, once."""
    return PREFIX + base64.b64encode(secret).decode()


def headers(secrets: Sequence[bytes], event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """One `v1` signature for each secret that is valid; `timestamp` in seconds since the epoch."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    signatures = [hmac.new(secret, signed, hashlib.sha256).digest() for secret in secrets]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(s).decode()}" for s in signatures),
    }
