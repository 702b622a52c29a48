"""The product under test: `tenantry dev` on a folder of its own, and what of it is measured."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import psutil
from yarl import URL

ENVIRONMENT = {
    # A limit that never bites: what is measured is the way of a request, limits included.
    "TENANTRY_RATE_LIMIT": "9999999/second",
    "TENANTRY_WEBHOOKS_ALLOW_PRIVATE": "true",
    # What is forked shows its environment where its parent had one, if there is room.
    "ROOM": "x" * 8192,
}
START_SECONDS = 90


@dataclass(frozen=True)
class Product:
    """A running stack. `started_in` is the time from the command to the ready file, in seconds."""

    folder: Path
    pid: int
    ready: dict[str, Any]
    started_in: float

    @property
    def url(self) -> str:
        return str(self.ready["base_url"])

    @property
    def nats_url(self) -> str:
        """The user that may do everything."""
        return str(self.ready["nats"]["admin_url"])

    def superuser(self, database: str) -> str:
        """The URL of a database of the stack for PostgreSQL's own superuser."""
        secrets = json.loads((self.folder / "data" / "secrets.json").read_text())
        url = URL(self.ready["databases"]["identity"])
        return str(
            url.with_user("postgres")
            .with_password(secrets["postgres"]["postgres"])
            .with_path(f"/{database}")
        )

    @asynccontextmanager
    async def database(self, name: str) -> AsyncIterator[asyncpg.Connection]:
        """A connection of the superuser, without a time limit."""
        conn = await asyncpg.connect(self.superuser(name))
        try:
            yield conn
        finally:
            await conn.close()

    def environment_of(self, name: str) -> dict[str, str]:
        """What a process of the stack was started with."""
        return dict(psutil.Process(self.ready["processes"][name]).environ())

    @asynccontextmanager
    async def held(self, *names: str) -> AsyncIterator[None]:
        """These processes do nothing for a while: what they would do is measured by itself."""
        for name in names:
            os.kill(self.ready["processes"][name], signal.SIGSTOP)
        try:
            yield
        finally:
            for name in names:
                os.kill(self.ready["processes"][name], signal.SIGCONT)

    def memory(self) -> dict[str, float]:
        """Megabytes of each part: shared pages are divided among those who share them (PSS)."""
        return {name: size / 2**20 for name, size in self._sums(_pss).items()}

    def processor_time(self) -> dict[str, float]:
        """Seconds that each part has used since its start."""
        return self._sums(_seconds)

    def _sums(self, measure: Callable[[psutil.Process], float]) -> dict[str, float]:
        """Of every process below the supervisor, by the part that it belongs to."""
        names = {pid: name for name, pid in self.ready["processes"].items()}
        sums: dict[str, float] = {}

        def add(process: psutil.Process, name: str) -> None:
            name = names.get(process.pid, name)
            with suppress(psutil.Error, OSError):  # it ended just now
                sums[name] = sums.get(name, 0) + measure(process)
                for child in process.children():
                    add(child, name)

        add(psutil.Process(self.pid), "supervisor")
        return sums


def _seconds(process: psutil.Process) -> float:
    """The kernel's count in nanoseconds, which many short wake-ups need; Linux alone has it."""
    threads = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    own = sum(int(each.read_text().split()[0]) for each in threads) / 1e9
    ended = process.cpu_times()
    return own + float(ended.children_user + ended.children_system)


def _pss(process: psutil.Process) -> int:
    full = process.memory_full_info()
    return int(getattr(full, "pss", 0) or full.uss)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Product]:
    """Starts the stack, waits until it is ready, and stops it at the end."""
    ready_file = folder / "ready.json"
    ready_file.unlink(missing_ok=True)
    begun = time.monotonic()
    with (folder / "dev.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tenantry", "dev", "--port", "0"),
            *("--data", str(folder / "data"), "--ready-file", str(ready_file)),
            env={**os.environ, **ENVIRONMENT},
            stdout=log,
            stderr=log,
        )

    async def is_ready() -> bool:
        if process.returncode is not None:
            said = (folder / "dev.log").read_text()[-2000:]
            raise RuntimeError(f"the stack ended before it was ready:\n{said}")
        return ready_file.exists()

    try:
        await until(is_ready, START_SECONDS)
        took = time.monotonic() - begun
        yield Product(folder, process.pid, json.loads(ready_file.read_text()), took)
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 60)


async def until(condition: Callable[[], Awaitable[object]], seconds: float = 60.0) -> None:
    """Waits for the condition. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(0.01)
