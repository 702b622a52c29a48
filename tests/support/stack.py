"""The product as a user runs it: the `tenantry` command, and the whole stack of `tenantry dev`."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
from support.waiting import until
from tenantry.dev.health_probe import is_ready
from tenantry.servers.ports import HOST, free_ports

PROCESSES = ("edge", "identity", "projects", "webhooks", "audit", "postgres", "nats", "redis")
START_LIMIT = 90.0
STOP_LIMIT = 10.0

T = TypeVar("T")


@dataclass
class Ran:
    """How a command ended: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """What --json prints of a failure."""
        return json.loads(self.err)["error"]


async def tenantry(*arguments: str, folder: Path | None = None, **environment: str) -> Ran:
    """Runs it without a terminal; nothing of the caller's environment or folder names a product."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TENANTRY_")}
    with tempfile.TemporaryDirectory() as elsewhere:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tenantry", *arguments),
            cwd=folder or elsewhere,
            env={**kept, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
    ran = Ran(process.returncode or 0, out.decode(), err.decode())
    assert "Traceback" not in ran.err, ran.err
    return ran


class Stack:
    """One run of `tenantry dev` on a folder, and all that it started."""

    def __init__(
        self, folder: Path, *options: str, wrapper: tuple[str, ...] = (), **env: str
    ) -> None:
        self.data = folder / "data"
        self.ready_file = folder / "ready.json"
        self.output_file = folder / "output.txt"
        argv = [*wrapper, sys.executable, "-m", "tenantry", "dev", "--port=0"]
        argv += [f"--data={self.data}", f"--ready-file={self.ready_file}", *options]
        argv += [] if "--console" in options else ["--no-console"]
        with self.output_file.open("w") as output:
            # What is forked shows its environment where its parent had one, if there is room.
            room = {"ROOM": "x" * 8192}
            self.process = subprocess.Popen(
                argv, stdout=output, stderr=output, env={**os.environ, **room, **env}
            )

    @property
    def output(self) -> str:
        return self.output_file.read_text()

    @property
    def ready(self) -> dict[str, Any]:
        """The newest content of the ready file; empty while there is none."""
        return json.loads(self.ready_file.read_text()) if self.ready_file.exists() else {}

    @property
    def url(self) -> str:
        return str(self.ready["base_url"])

    def until_ready(self) -> dict[str, Any]:
        def ready() -> dict[str, Any]:
            assert self.process.poll() is None, f"it ended: {self.output}"
            return self.ready

        return eventually(f"ready: see {self.output_file}", ready, START_LIMIT)

    def tree(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def shared_memory(self) -> int:
        """The id of PostgreSQL's System V segment."""
        lines = (self.data / "postgres/data/postmaster.pid").read_text().splitlines()
        return int(lines[6].split()[1])

    def hang(self, name: str, number: int) -> None:
        """SIGSTOP or SIGCONT for a process and its children."""
        signal_tree(self.ready["processes"][name], number)

    def kill(self, name: str) -> int:
        """Answers the id of the process."""
        pid: int = self.ready["processes"][name]
        os.kill(pid, signal.SIGKILL)
        return pid

    async def restarted(self, name: str, pid: int) -> None:
        """Waits until another process has taken the place of `pid`."""

        async def has_successor() -> bool:
            return self.ready["processes"].get(name) not in (None, pid)

        await until(has_successor, 60)

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = STOP_LIMIT) -> int:
        """Answers the exit code. What has not ended in time is killed, with all that it started."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            signal_tree(self.process.pid, signal.SIGKILL)
            raise


@contextmanager
def dev_stack(folder: Path, *options: str, **more: Any) -> Iterator[Stack]:
    """Just started: it may not be ready yet."""
    stack = Stack(folder, *options, **more)
    try:
        yield stack
    finally:
        stack.stop()


@asynccontextmanager
async def running_stack(folder: Path, *options: str, **environment: str) -> AsyncIterator[Stack]:
    """Ready."""
    stack = Stack(folder, *options, **environment)
    try:
        await asyncio.to_thread(stack.until_ready)
        yield stack
    finally:
        await asyncio.to_thread(stack.stop, seconds=2 * STOP_LIMIT)


@asynccontextmanager
async def second_edge(stack: Stack, **changes: str) -> AsyncIterator[str]:
    """The URL of another edge with the environment of the stack's own, all but the port and
    `changes`.
    """
    environment = psutil.Process(stack.ready["processes"]["edge"]).environ()
    port, management = (str(each) for each in free_ports(2))
    own = {"TENANTRY_HTTP_PORT": port, "TENANTRY_MANAGEMENT_PORT": management}
    with (stack.data.parent / "second-edge.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "edge"),
            env={**environment, **own, **changes},
            stdout=log,
            stderr=log,
        )

    async def ready() -> bool:
        assert process.returncode is None, "the second edge ended before it was ready"
        return await is_ready(int(port))

    try:
        await until(ready, 30)
        yield f"http://{HOST}:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 20)


def signal_tree(pid: int, number: int) -> None:
    """Signals a process and its children: PostgreSQL works in those."""
    parent = psutil.Process(pid)
    for process in (parent, *parent.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def eventually(what: str, condition: Callable[[], T | None], seconds: float) -> T:
    """`support.waiting.until` for tests that do not await; `what` is named by the failure."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")
