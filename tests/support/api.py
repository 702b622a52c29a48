"""A caller of the HTTP API, and tenants of one's own to call it for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from aiohttp import ClientSession


@dataclass
class Answer:
    status: int
    body: Any
    headers: Mapping[str, str]
    raw: bytes


@dataclass
class Api:
    """Requests with one credential (None: without)."""

    http: ClientSession
    url: str
    key: str | None = None
    tenant: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def as_key(self, key: str | None) -> "Api":
        return Api(self.http, self.url, key, self.tenant)

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        data: bytes | None = None,
        **headers: str,
    ) -> Answer:
        """`headers` are named with underscores: `if_match='"1"'`."""
        sent = dict(self.headers)
        if self.key is not None:
            sent["Authorization"] = f"Bearer {self.key}"
        if body is not None:
            data = json.dumps(body).encode()
        if data is not None:
            sent["Content-Type"] = "application/json"
        sent |= {name.replace("_", "-").title(): value for name, value in headers.items()}
        async with self.http.request(
            method, self.url + path, data=data, headers=sent, allow_redirects=False
        ) as answer:
            raw = await answer.read()
            is_json = "json" in answer.headers.get("Content-Type", "") and raw
            parsed = json.loads(raw) if is_json and "ndjson" not in answer.content_type else None
            return Answer(answer.status, parsed, answer.headers.copy(), raw)


async def new_tenant(http: ClientSession, url: str, operator_key: str) -> Api:
    """A fresh tenant and its root key."""
    operator = Api(http, url, operator_key)
    slug = f"t-{uuid4().hex}"
    made = await operator("POST", "/v1/admin/tenants", {"name": "Test", "slug": slug})
    assert made.status == 201, made.raw
    return Api(http, url, made.body["api_key"]["secret"], made.body["tenant"]["id"])
