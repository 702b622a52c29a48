"""How a request is signed: the headers of the Standard Webhooks specification. Pure.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence

SECRET_PREFIX = "whsec_"
SECRET_BYTES = 32


def format_secret(secret: bytes) -> str:
    """The secret as the API shows it, once."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def signature_headers(
    secrets: Sequence[bytes], event_id: str, timestamp: int, body: bytes
) -> dict[str, str]:
    """One `v1` signature for each valid secret; `timestamp` in seconds since the epoch."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    signatures = [hmac.new(secret, signed, hashlib.sha256).digest() for secret in secrets]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(s).decode()}" for s in signatures),
    }
