"""The examples of the documentation do what they say, beside a product as a reader starts it."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from aiohttp import ClientSession
from support.api import Api
from support.stack import Stack, running_stack
from support.waiting import until

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    created = "tenantry.events.identity.user.created"
    wanted = f"example={created} many={created}"
    folder = tmp_path_factory.mktemp("examples")
    async with running_stack(folder, TENANTRY_SUBSCRIBERS=wanted) as running:
        yield running


@pytest.fixture
async def api(stack: Stack) -> AsyncIterator[Api]:
    async with ClientSession() as http:
        yield Api(http, stack.url, stack.ready["api_key"], stack.ready["tenant_id"])


async def test_the_application_signs_a_user_in(stack: Stack) -> None:
    environment = {"TENANTRY_URL": stack.url, "TENANTRY_API_KEY": stack.ready["api_key"]}
    done = await asyncio.to_thread(run, "sign_in.py", environment)
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    assert "the product says: valid" in said
    assert "signed out, it says: revoked" in said
    assert said[-1].startswith("the webhook is genuine: session.revoked of ses_")


async def test_the_application_says_what_it_lacks(stack: Stack) -> None:
    assert (await asyncio.to_thread(run, "sign_in.py", {})).returncode == 2
    wrong = {"TENANTRY_URL": stack.url, "TENANTRY_API_KEY": "nothing"}
    done = await asyncio.to_thread(run, "sign_in.py", wrong)
    assert (done.returncode, done.stderr[:20]) == (1, "UnauthenticatedError")


async def test_the_receiver_says_what_it_lacks() -> None:
    done = await asyncio.to_thread(run, "receiver.py", {})
    assert (done.returncode, done.stderr[:18]) == (1, "Set WEBHOOK_SECRET")


async def test_the_subscriber_hears_each_user_also_of_its_absence(
    stack: Stack, api: Api, tmp_path: Path
) -> None:
    log = tmp_path / "heard.log"
    async with subscriber(stack, log):
        await add(api, "first@example.com")
        await until(lambda: heard(log, "first@example.com"))
    await add(api, "meanwhile@example.com")
    async with subscriber(stack, log) as process:
        await until(lambda: heard(log, "meanwhile@example.com"))
        process.kill()
    async with subscriber(stack, log):
        await add(api, "last@example.com")
        await until(lambda: heard(log, "last@example.com"))
    mine = ["first@example.com", "meanwhile@example.com", "last@example.com"]
    assert [each for each in welcomed(log) if each in mine] == mine


async def test_the_subscriber_hears_all_of_many(stack: Stack, api: Api, tmp_path: Path) -> None:
    log = tmp_path / "heard.log"
    lines = [json.dumps({"email": f"many{n}@example.com"}).encode() for n in range(300)]
    async with subscriber(stack, log, SUBSCRIBER="subscriber-many"):
        data, kind = b"\n".join(lines), "application/x-ndjson"
        assert (
            await api("POST", "/v1/admin/users/bulk", data=data, content_type=kind)
        ).status == 200
        await until(lambda: heard(log, "many299@example.com"))
    found = [each for each in welcomed(log) if each.startswith("many")]
    assert found == [f"many{n}@example.com" for n in range(300)]


async def test_what_the_subscriber_may_not_is_refused(stack: Stack) -> None:
    refused: list[str] = []

    async def failed(error: Exception) -> None:
        refused.append(str(error))

    url = stack.ready["nats"]["subscriber_url"]
    client = await nats.connect(url, inbox_prefix=b"_INBOX_subscriber", error_cb=failed)
    try:
        await client.publish("tenantry.events.identity.user.created", b"{}")
        await client.flush()
        await client.flush()
    finally:
        await client.close()
    assert any("permissions violation for publish" in each.lower() for each in refused)


def run(name: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TENANTRY_")}
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@asynccontextmanager
async def subscriber(
    stack: Stack, log: Path, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The subscriber as its own process; it writes what it hears behind what is in `log`."""
    url = stack.ready["nats"]["subscriber_url"]
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(EXAMPLES / "subscriber" / "app.py"),
            stdout=output,
            env={**os.environ, "TENANTRY_NATS_URL": url, **environment},
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 20)


async def add(api: Api, email: str) -> None:
    assert (await api("POST", "/v1/admin/users", {"email": email})).status == 201


async def heard(log: Path, email: str) -> bool:
    return email in welcomed(log)


def welcomed(log: Path) -> list[str]:
    """Whom it has welcomed, in that order, in all its runs."""
    return re.findall(r"^evt_\w+ of ten_\w+: welcome, (.+)$", log.read_text(), re.MULTILINE)
