"""An application that signs its users in with Tenantry: run it beside `make run`.

    TENANTRY_API_KEY=... .venv/bin/python docs/examples/sign_in.py

A project, a user, a session; the access token verified without the product, by the project's public
keys; the session ended, and the webhook about it received and verified. Leaves nothing behind.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Thread
from uuid import uuid4

import jwt
from tenantry_client import Client, api
from tenantry_client.errors import TenantryError
from tenantry_client.models import (
    CreateProject,
    CreateSession,
    CreateUser,
    CreateWebhook,
    DeleteUserQuery,
    Event,
    RefreshSession,
    VerifySession,
)
from tenantry_client.webhooks import verify

URL = os.environ.get("TENANTRY_URL", "http://127.0.0.1:8400")


def sign_in(
    tenantry: Client, hook_url: str, arrived: "Queue[tuple[bytes, dict[str, str]]]"
) -> None:
    project = tenantry(api.create_project(CreateProject(name="Example", slug=f"ex-{uuid4().hex}")))
    user = tenantry(api.create_user(CreateUser(email=f"ada-{uuid4().hex}@example.com", name="Ada")))
    hook = tenantry(api.create_webhook(CreateWebhook(url=hook_url, events=["session.revoked"])))
    try:
        begun = tenantry(api.create_session(user.id, CreateSession(project_id=project.id)))
        print(f"{user.name} has a session until {begun.session.expires_at:%Y-%m-%d}")

        # In every request of hers: no call to the product, its public keys are cached.
        keys = jwt.PyJWKClient(f"{URL}/v1/projects/{project.id}/.well-known/jwks.json")
        key = keys.get_signing_key_from_jwt(begun.access_token)
        claims = jwt.decode(begun.access_token, key, audience=project.id, issuer=project.id)
        print(f"the token is signed by {key.key_id}, for {claims['sub']}")

        # When it expires.
        refresh = RefreshSession(refresh_token=begun.refresh_token)
        fresh = tenantry(api.refresh_session(refresh))

        # Where revocation must be known at once.
        token = VerifySession(token=fresh.access_token)
        print(f"the product says: {tenantry(api.verify_session(token)).code}")
        tenantry(api.revoke_session(user.id, begun.session.id))
        print(f"signed out, it says: {tenantry(api.verify_session(token)).code}")

        body, headers = arrived.get(timeout=30)
        event: Event = verify(hook.secret, body, headers)
        print(f"the webhook is genuine: {event.type} of {event.subject}")
    finally:
        tenantry(api.delete_webhook(hook.id))
        tenantry(api.delete_user(user.id, DeleteUserQuery(force=True)))
        tenantry(api.delete_project(project.id))


@contextmanager
def receiver() -> "Iterator[tuple[str, Queue[tuple[bytes, dict[str, str]]]]]":
    """A webhook's URL on this machine, and what is sent to it."""
    arrived: Queue[tuple[bytes, dict[str, str]]] = Queue()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            arrived.put((body, dict(self.headers.items())))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/tenantry", arrived
    finally:
        server.shutdown()


def main() -> int:
    try:
        key = os.environ["TENANTRY_API_KEY"]
        with Client(URL, key) as tenantry, receiver() as (hook_url, arrived):
            sign_in(tenantry, hook_url, arrived)
    except KeyError:
        print("Set TENANTRY_API_KEY to the key that `make run` prints.", file=sys.stderr)
        return 2
    except TenantryError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
