"""Backup and restore by the commands of docs/backup.md: backed up while it runs, restored into a
new folder.

The consumers lag when the backup is made: what they had not consumed takes effect after the
restore, once and in order.
"""

import asyncio
import base64
import hashlib
import hmac
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientSession
from chaos.snapshot import Snapshot, take_snapshot
from support.api import Api, new_tenant
from support.stack import Stack, running_stack
from support.waiting import until
from support.webhook_receiver import Received, Receiver, webhook_receiver

CONSUMERS = ("audit", "webhooks")
PAGE = Path(__file__).parents[2] / "docs/backup.md"
BACKUP, RESTORE, CHECK = re.findall(
    r"^```bash\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL
)


async def paste(folder: Path, block: str) -> str:
    """What a shell says that has `tenantry` on its PATH, and nothing that names a product."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TENANTRY_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", block),
        cwd=folder,
        env={**kept, "PATH": path},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, output.decode()
    return output.decode()


@dataclass
class Customer:
    """A tenant whose webhook receives everything; its events are told apart by users' names."""

    api: Api
    receiver: Receiver
    webhook: dict[str, Any] = field(default_factory=dict)
    events: int = 2
    """How many audit must have: of the tenant and its key, and of what it did."""

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self.api("POST", path, body)
        assert answer.status == 201, answer.raw
        self.events += 1
        return dict(answer.body)

    async def listen(self) -> None:
        body = {"url": self.receiver.url, "events": ["*"], "description": "all"}
        self.webhook = await self.post("/v1/admin/webhooks", body)

    async def create_users(self, name: str, count: int) -> None:
        for number in range(count):
            email = f"{name}.{number}@example.com"
            await self.post("/v1/admin/users", {"email": email, "name": f"{name} {number}"})

    async def until_received(self, name: str, count: int) -> None:
        """By audit and by the receiver."""

        async def is_received() -> bool:
            page = await self.api("GET", "/v1/admin/audit?limit=1")
            total = page.body["pagination"]["total"] if page.status == 200 else 0
            return len(self.received(name)) >= count and total == self.events

        await until(is_received, 40)

    def received(self, name: str) -> list[str]:
        """Ids of the events about users of that name, as often as they came.

        Sorted: several are sent at once, so the order of arrival is only roughly theirs.
        """
        return sorted(
            each.headers["webhook-id"]
            for each in self.receiver.received
            if f"{name}." in str(each.body)
        )

    def is_signed(self, each: Received) -> bool:
        key = base64.b64decode(self.webhook["secret"].removeprefix("whsec_"))
        stamp = f"{each.headers['webhook-id']}.{each.headers['webhook-timestamp']}.".encode()
        signature = base64.b64encode(hmac.digest(key, stamp + each.body, hashlib.sha256)).decode()
        return f"v1,{signature}" in each.headers["webhook-signature"].split()


@asynccontextmanager
async def hanging_consumers(stack: Stack) -> AsyncIterator[None]:
    for name in CONSUMERS:
        stack.hang(name, signal.SIGSTOP)
    try:
        yield
    finally:
        for name in CONSUMERS:
            stack.hang(name, signal.SIGCONT)


@dataclass
class Product:
    """A product that was backed up, with what it showed then, and its two tenants."""

    customer: Customer
    quiet: Api
    before: Snapshot
    quiet_before: Snapshot


async def backed_up(folder: Path, http: ClientSession, receiver: Receiver) -> Product:
    """Nothing happens to the quiet tenant while the consumers hang."""
    (folder / ".tenantry").symlink_to("data")
    async with running_stack(folder, "--no-demo") as stack:
        operator_key = stack.ready["operator_key"]
        customer = Customer(await new_tenant(http, stack.url, operator_key), receiver)
        quiet = Customer(await new_tenant(http, stack.url, operator_key), receiver)
        await customer.listen()
        await customer.create_users("early", 5)
        await customer.until_received("early", 5)
        await quiet.create_users("quiet", 3)
        await quiet.until_received("quiet", 0)
        async with hanging_consumers(stack):
            await customer.create_users("between", 5)
            said = await paste(folder, BACKUP)
        assert ".tenantry/secrets.json" in said
        await customer.until_received("between", 5)
        before, quiet_before = await take_snapshot(customer.api), await take_snapshot(quiet.api)
        await customer.create_users("late", 1)
    return Product(customer, quiet.api, before, quiet_before)


async def test_a_restored_product_shows_the_same_and_goes_on(tmp_path: Path) -> None:
    async with ClientSession() as http, webhook_receiver() as receiver:
        product = await backed_up(tmp_path, http, receiver)
        customer, between = product.customer, product.customer.received("between")
        receiver.received.clear()
        said = await paste(tmp_path, RESTORE)
        assert "events will be published again" in said
        new = tmp_path / "new"
        new.mkdir()
        (new / "data").symlink_to(tmp_path / "restored")
        async with running_stack(new, "--no-demo") as stack:
            for api in (customer.api, product.quiet):
                api.url = stack.url
            customer.events = product.before.total
            await customer.until_received("between", 5)
            after = await take_snapshot(customer.api)
            assert (after.rows, after.trail) == (product.before.rows, product.before.trail)
            assert after.proof["valid"]
            assert after.proof["length"] == product.before.proof["length"]
            quiet = await take_snapshot(product.quiet)
            assert [each["kind"] for each in quiet.proof["marks"]] == ["restored"]
            quiet.proof["marks"] = product.quiet_before.proof["marks"]
            assert quiet == product.quiet_before
            await customer.create_users("after", 4)
            await customer.until_received("after", 4)
            await paste(tmp_path, CHECK)
            trail = (await take_snapshot(customer.api)).trail
    created = [each["id"] for each in trail if each["action"] == "user.created"]
    # What webhooks had not consumed comes now, under the ids that it always had; nothing else does.
    assert len(between) == 5
    assert customer.received("between") == sorted(created[5:10])
    assert customer.received("after") == sorted(created[10:])
    assert customer.received("early") == []
    assert customer.received("late") == []
    assert all(map(customer.is_signed, receiver.received))
