"""Receives webhooks of Tenantry on a port of this machine, and shows those that are genuine.

    WEBHOOK_SECRET=whsec_... .venv/bin/python docs/examples/receiver.py PORT [COUNT]

Needs the package `standardwebhooks` alone. Ends after COUNT events, or by Ctrl-C.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError


def genuine(secret: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    """The event of a request. Raises WebhookVerificationError when it is not from Tenantry."""
    # The bytes as they came: JSON that was read and written again has another signature.
    Webhook(secret).verify(body, headers)
    event: dict[str, Any] = json.loads(body)
    return event


class Receiver(BaseHTTPRequestHandler):
    secret = os.environ.get("WEBHOOK_SECRET", "")
    heard: set[str] = set()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        try:
            event = genuine(self.secret, body, dict(self.headers.items()))
        except (WebhookVerificationError, ValueError) as error:
            print(f"refused: {error}", flush=True)
            self.answer(400)
            return
        if event["id"] not in self.heard:  # an event can come more than once
            self.heard.add(event["id"])
            print(f"verified: {event['type']} {event['id']}", flush=True)
        self.answer(204)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing of its own."""


def main(port: int, count: float = float("inf")) -> None:
    with HTTPServer(("127.0.0.1", port), Receiver) as server:
        while len(Receiver.heard) < count:
            server.handle_request()


if __name__ == "__main__":
    if not Receiver.secret or not sys.argv[1:]:
        sys.exit("Set WEBHOOK_SECRET to the secret of the webhook, and give a port.")
    main(*map(int, sys.argv[1:3]))
