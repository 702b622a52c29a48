"""Signatures, checked by the public verifier of Standard Webhooks."""

import os
import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from webhooks.rules.signature import format_secret, signature_headers

BODY = '{"type":"user.created","data":{"name":"Zoë"}}'.encode()
EVENT = "evt_01jt7a3v9qf8mbd2m0q5k4h6xz"


def test_the_public_verifier_accepts_a_signature() -> None:
    secret = os.urandom(32)
    signed = signature_headers([secret], EVENT, int(time.time()), BODY)
    assert Webhook(format_secret(secret)).verify(BODY, signed)["type"] == "user.created"


def test_every_valid_secret_signs() -> None:
    old, new = os.urandom(32), os.urandom(32)
    signed = signature_headers([new, old], EVENT, int(time.time()), BODY)
    for secret in (old, new):
        Webhook(format_secret(secret)).verify(BODY, signed)


@pytest.mark.parametrize("change", ["body", "id", "time", "secret"])
def test_the_public_verifier_rejects_a_changed_part(change: str) -> None:
    secret = os.urandom(32)
    signed = signature_headers([secret], EVENT, int(time.time()), BODY)
    body = BODY + b" " if change == "body" else BODY
    if change == "id":
        signed["webhook-id"] = "evt_other"
    if change == "time":
        signed["webhook-timestamp"] = str(int(time.time()) - 1)
    verifier = Webhook(format_secret(os.urandom(32) if change == "secret" else secret))
    with pytest.raises(WebhookVerificationError):
        verifier.verify(body, signed)
