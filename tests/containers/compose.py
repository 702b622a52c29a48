"""docker-compose.yml as a user runs it, a load balancer before its edges, and callers of it."""

import asyncio
import json
import os
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from chaos.proxy import TcpProxy
from support.api import Api
from support.servers import engine_missing
from support.waiting import until
from tenantry.dev.health_probe import is_ready

ROOT = Path(__file__).parents[2]
SERVICES = ("identity", "projects", "webhooks", "audit")
NO_ENGINE = (
    engine_missing() if os.environ.get("TENANTRY_COMPOSE_TEST") else "run by `make compose-test`"
)
LONGEST = 1800
"""Seconds that a build may take where nothing is cached."""
PROBE_SECONDS = 0.2
"""An edge that leaves says so for longer than this before it hangs up."""
CALLERS = 8
PAUSE_SECONDS = 0.05


@dataclass
class Compose:
    """A project with its own secrets; `settings` are variables of docker-compose.yml."""

    project: str
    env_file: Path
    settings: dict[str, str]

    async def __call__(self, *arguments: str) -> str:
        """Standard output. Raises AssertionError with what was said when it fails."""
        return await command(
            *("docker", "compose", "--project-name", self.project),
            *("--env-file", str(self.env_file), *arguments),
            **self.settings,
        )

    async def inspect(self, service: str) -> list[dict[str, Any]]:
        """The containers of a service, those that have ended too, in the order of their numbers."""
        ids = (await self("ps", "--all", "--quiet", service)).split()
        found: list[dict[str, Any]] = json.loads(await command("docker", "inspect", *ids))
        return sorted(found, key=lambda each: str(each["Name"]))

    async def names(self, service: str) -> list[str]:
        return [each["Name"].removeprefix("/") for each in await self.inspect(service)]

    @property
    def secrets(self) -> dict[str, str]:
        lines = self.env_file.read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)


async def command(*arguments: str, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *arguments,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), LONGEST)
    said = f"{' '.join(arguments)}\n{out.decode()[-4000:]}\n{err.decode()[-4000:]}"
    assert process.returncode == 0, said
    return out.decode()


@asynccontextmanager
async def composed(folder: Path, **settings: str) -> AsyncIterator[Compose]:
    """A project that is gone with its volumes at the end, whatever happened."""
    env_file = folder / "env"
    await command(sys.executable, "deploy/make_env.py", str(env_file))
    settings["TENANTRY_SECRETS"] = str(folder / "secrets")
    compose = Compose(f"tenantry-test-{os.getpid()}", env_file, settings)
    try:
        yield compose
    finally:
        await compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "5")


async def up(compose: Compose, *options: str) -> None:
    await compose("up", "--detach", "--wait", "--wait-timeout", "300", *options)


async def welcomed(compose: Compose) -> tuple[str, str]:
    """The key and the first request of the newest start."""
    said = await compose("logs", "--no-log-prefix", "welcome")
    request = re.findall(r"^ *(curl .*)$", said, re.MULTILINE)[-1]
    return re.findall(r"Bearer (\S+)\"", request)[-1], request


async def healthy(container: str) -> None:
    async def is_healthy() -> bool:
        state = "{{.State.Health.Status}}"
        return (await command("docker", "inspect", "-f", state, container)).strip() == "healthy"

    await until(is_healthy, 120)


async def nothing_fails(compose: Compose) -> None:
    """The doctor says so; on a busy machine not at once, as its checks wait a second or four."""

    async def finds_nothing() -> bool:
        try:
            return "Nothing failed." in await compose("run", "--rm", "tenantry", "doctor")
        except AssertionError as failed:
            print(failed)  # noqa: T201 - pytest shows it if the time is over
            return False

    await until(finds_nothing, 90)


class Balancer(TcpProxy):
    """Connections go in turn to the edges that were ready last, then to the others."""

    def __init__(self, *targets: int) -> None:
        super().__init__(*targets)
        self._ready: set[int] = set()
        self._turn = count()

    def order_targets(self) -> list[int]:
        turn = next(self._turn) % len(self.targets)
        order = [*self.targets[turn:], *self.targets[:turn]]
        return sorted(order, key=lambda each: each not in self._ready)

    async def probe(self, target: int) -> None:
        while True:
            (self._ready.add if await is_ready(target) else self._ready.discard)(target)
            await asyncio.sleep(PROBE_SECONDS)


@asynccontextmanager
async def balanced(*targets: int) -> AsyncIterator[Balancer]:
    balancer = Balancer(*targets)
    probes = [asyncio.create_task(balancer.probe(target)) for target in targets]
    await balancer.start()
    try:
        yield balancer
    finally:
        await balancer.stop()
        for task in probes:
            task.cancel()
        await asyncio.gather(*probes, return_exceptions=True)


class Load:
    """Callers that go on and on; half of them keep their connection, none repeats a request.

    `outcomes` counts statuses and the names of what went wrong; `made` are users of a 201.
    """

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.made: list[str] = []
        self.stop = asyncio.Event()

    @property
    def failures(self) -> dict[str, int]:
        return {name: n for name, n in self.outcomes.items() if name not in ("200", "201")}

    async def call(self, url: str, key: str, *, keeps: bool) -> None:
        connector = TCPConnector(force_close=not keeps)
        async with ClientSession(connector=connector, timeout=ClientTimeout(total=15)) as http:
            # A client of aiohttp repeats a GET by itself when a kept connection has gone.
            http._retry_connection = False  # type: ignore[attr-defined]
            api = Api(http, url, key)
            while not self.stop.is_set():
                body = {"email": f"u-{uuid4().hex}@example.com"}
                if user := await self._outcome(api, "POST", "/v1/admin/users", body):
                    self.made.append(user)
                    await self._outcome(api, "GET", f"/v1/admin/users/{user}")
                await asyncio.sleep(PAUSE_SECONDS)

    async def _outcome(self, api: Api, method: str, path: str, body: object = None) -> str | None:
        """The id of the user, if there was one."""
        try:
            answer = await api(method, path, body)
        except (ClientError, OSError, TimeoutError) as error:
            self.outcomes[f"{method} {type(error).__name__}"] += 1
            return None
        self.outcomes[str(answer.status)] += 1
        return str(answer.body["id"]) if answer.status in (200, 201) else None


@asynccontextmanager
async def under_load(url: str, key: str) -> AsyncIterator[Load]:
    load = Load()
    async with asyncio.TaskGroup() as group:
        for number in range(CALLERS):
            group.create_task(load.call(url, key, keeps=number % 2 == 0))
        try:
            yield load
        finally:
            load.stop.set()
