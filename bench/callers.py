"""Callers of the product: tenants with a key, and the requests that they make."""

import itertools
import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import aiohttp
from aiohttp import ClientSession

from bench import load
from bench.product import Product


@dataclass(frozen=True)
class Caller:
    """A tenant and its key."""

    product: Product
    tenant_id: str
    key: str

    def get(self, path: str) -> load.Make:
        """The same GET again and again."""
        made = load.request("GET", self.product.url, path, authorization=f"Bearer {self.key}")
        return lambda: made

    def get_each(self, paths: list[str]) -> load.Make:
        """GETs of these paths in turns."""
        made = [self.get(path)() for path in paths]
        return itertools.cycle(made).__next__

    def create_organizations(self) -> load.Make:
        """POSTs of ever new organizations."""

        def make() -> bytes:
            body = json.dumps({"name": "Acme Incorporated", "slug": f"s-{uuid4().hex}"}).encode()
            return load.request(
                "POST",
                self.product.url,
                "/v1/admin/organizations",
                body,
                authorization=f"Bearer {self.key}",
            )

        return make

    def create_users(self) -> load.Make:
        """POSTs of ever new users."""

        def make() -> bytes:
            body = json.dumps({"email": f"{uuid4().hex}@example.com", "name": "Ada"}).encode()
            authorization = f"Bearer {self.key}"
            path = "/v1/admin/users"
            return load.request("POST", self.product.url, path, body, authorization=authorization)

        return make

    async def __call__(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> dict[str, Any]:
        """One request, not measured. Raises on anything but success."""
        sent = {"authorization": f"Bearer {self.key}", **headers}
        async with (
            ClientSession() as http,
            http.request(method, self.product.url + path, json=body, headers=sent) as answer,
        ):
            told: dict[str, Any] = json.loads(await answer.read())
            if answer.status >= 300:
                raise aiohttp.ClientError(f"{method} {path}: {told}")
            return told

    async def token(self) -> str:
        """An access token for the key."""
        known = await self("GET", "/v1/admin/tenant")
        form = {
            "grant_type": "client_credentials",
            "client_id": known["credential"]["id"],
            "client_secret": self.key,
        }
        async with (
            ClientSession() as http,
            http.post(f"{self.product.url}/v1/auth/token", data=form) as answer,
        ):
            return str((await answer.json())["access_token"])


async def new_tenant(product: Product, name: str = "Bench") -> Caller:
    """A fresh tenant with its root key."""
    operator = Caller(product, "", product.ready["operator_key"])
    body = {"name": name, "slug": f"t-{uuid4().hex}"}
    made = await operator("POST", "/v1/admin/tenants", body)
    return Caller(product, made["tenant"]["id"], made["api_key"]["secret"])
