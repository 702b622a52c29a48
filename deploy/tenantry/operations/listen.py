"""A tenant's events, forwarded as webhooks to an address that only this machine reaches.

They come by the feed, so nothing is left behind in the product. Each is sent in order and at least
once: the place in the feed moves on only after the receiver has answered.
"""

import base64
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from contracts.audit import AuditEvent
from contracts.catalogue import EVENT_TYPES
from contracts.events import CONTENT_TYPE, EventData, matches
from pydantic import BaseModel
from standardwebhooks import Webhook
from tenantry_client import Client, api
from tenantry_client.errors import NoResponseError, NotFoundError, UnavailableError
from tenantry_client.models import AuditQuery, FeedQuery
from tenantry_client.requests import Request

from tenantry.atomic_file import write_json
from tenantry.connection import http_settings
from tenantry.errors import Misconfigured

RECEIVER_SECONDS = 15.0
FIRST_WAIT, LONGEST_WAIT = 0.25, 5.0
_GETTERS: dict[str, Callable[[str], Request[Any]]] = {
    "tenant": api.get_tenant,
    "project": api.get_project,
    "user": api.get_user,
    "organization": api.get_organization,
    "webhook": api.get_webhook,
}
"""Of the resources that their own id is enough to get."""


@dataclass(frozen=True)
class Forwarded:
    """`error` says why there was no answer; the event is then sent again."""

    sequence: int
    event_id: str
    event_type: str
    status: int | None
    duration_ms: int
    error: str | None = None


@dataclass(frozen=True)
class Listener:
    """`events` are patterns as those of a webhook. `place` is a file that keeps the sequence."""

    tenant: Client
    url: str
    secret: str
    events: tuple[str, ...] = ("*",)
    place: Path | None = None

    def run(self, after: int, report: Callable[[Forwarded], None]) -> None:
        """Forwards what follows `after`, until it is interrupted. Raises TenantryError."""
        tenant_id = self.tenant(api.who_am_i()).tenant.id
        self._keep(after)  # a run that is killed before its first event has a place too
        with httpx.Client(**http_settings(RECEIVER_SECONDS)) as receiver:
            for event in self._follow(after):
                if self._is_wanted(event):
                    self._forward(receiver, event, tenant_id, report)
                self._keep(event.sequence)

    def _keep(self, sequence: int) -> None:
        if self.place is not None:
            write_json(self.place, {"after": sequence})

    def _is_wanted(self, event: AuditEvent) -> bool:
        """What the trail alone has, such as the refused use of a key, is no event of a webhook."""
        known = event.action in EVENT_TYPES
        return known and any(matches(pattern, event.action) for pattern in self.events)

    def _follow(self, after: int) -> Iterator[AuditEvent]:
        """Begins again at its place when the stream ends, or breaks off."""
        wait = FIRST_WAIT
        while True:
            try:
                for event in self.tenant.lines(api.follow_events(FeedQuery(after=after))):
                    yield event
                    after, wait = event.sequence, FIRST_WAIT
            except (NoResponseError, UnavailableError):
                time.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT)

    def _forward(
        self,
        receiver: httpx.Client,
        event: AuditEvent,
        tenant_id: str,
        report: Callable[[Forwarded], None],
    ) -> None:
        body = json.dumps(self._webhook_body(event, tenant_id), ensure_ascii=False)
        wait = FIRST_WAIT
        while True:
            started = time.perf_counter()
            status = error = None
            try:
                headers = _headers(self.secret, event.id, body)
                status = receiver.post(self.url, content=body.encode(), headers=headers).status_code
            except httpx.TransportError as failed:
                error = str(failed) or type(failed).__name__
            taken = round((time.perf_counter() - started) * 1000)
            report(Forwarded(event.sequence, event.id, event.action, status, taken, error))
            if error is None:
                return
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def _webhook_body(self, event: AuditEvent, tenant_id: str) -> dict[str, Any]:
        """The event as a webhook has it. The trail keeps no trace: `traceparent` is a new one."""
        kind = EVENT_TYPES[event.action]
        return {
            "specversion": "1.0",
            "id": event.id,
            "source": f"tenantry/{kind.service}",
            "type": event.action,
            "subject": event.resource_id,
            "time": event.created_at.isoformat().replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "tenantid": tenant_id,
            "actortype": event.actor_type,
            "actorid": event.actor_id,
            "requestid": event.request_id,
            "traceparent": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00",
            "data": self._data(kind, event),
        }

    def _data(self, kind: type[EventData], event: AuditEvent) -> dict[str, Any]:
        """What the feed has of it: the resource as it is now, and what has changed."""
        data: dict[str, Any] = {}
        known = event.model_dump(mode="json", by_alias=True)
        for name, member in kind.model_fields.items():
            model = member.annotation
            if name == "changes":
                data[name] = known["changes"]
            elif name == f"{event.resource_type}_id":
                data[name] = event.resource_id
            elif name == event.resource_type and isinstance(model, type):
                found = self._get(event.resource_type, event.resource_id)
                fields = model.model_fields if issubclass(model, BaseModel) else {}
                data[name] = {each: found[each] for each in fields if each in found}
        return data

    def _get(self, resource_type: str, identifier: str) -> dict[str, Any]:
        """The resource; its identifier alone, if it is gone or a part of another one."""
        getter = _GETTERS.get(resource_type)
        if getter is not None:
            try:
                found: dict[str, Any] = self.tenant(getter(identifier)).model_dump(mode="json")
            except NotFoundError:
                pass
            else:
                return found
        return {"id": identifier}


def new_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def newest_sequence(tenant: Client) -> int:
    """Of the last event that there is; 0 without one."""
    page = tenant(api.list_events(AuditQuery(limit=1)))
    return page.events[0].sequence if page.events else 0


def read_place(place: Path) -> int | None:
    """Where a run before has ended; None if there was none. Raises Misconfigured."""
    try:
        after = json.loads(place.read_text(encoding="utf-8"))["after"]
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        after = None
    if not isinstance(after, int) or after < 0:
        raise Misconfigured(f"{place} is no file of --resume", "Name another file, or remove it.")
    return after


def _headers(secret: str, event_id: str, body: str) -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "Content-Type": CONTENT_TYPE,
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(event_id, now, body),
    }
