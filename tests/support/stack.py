"""The whole product as a user starts it: `tenantry dev` on a folder of its own."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from support.waiting import until


@dataclass
class Stack:
    """A running product; `ready` is the newest content of its ready file."""

    process: asyncio.subprocess.Process
    ready_file: Path

    @property
    def ready(self) -> dict[str, Any]:
        return json.loads(self.ready_file.read_text())

    @property
    def url(self) -> str:
        return self.ready["base_url"]

    def hang(self, name: str, number: int) -> None:
        """SIGSTOP or SIGCONT for a process and its children: PostgreSQL works in those."""
        parent = psutil.Process(self.ready["processes"][name])
        for process in (parent, *parent.children(recursive=True)):
            process.send_signal(number)

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Signals one process of the stack; answers its id."""
        pid = self.ready["processes"][name]
        os.kill(pid, number)
        return pid

    async def restarted(self, name: str, pid: int) -> None:
        """Waits until another process has taken the place of `pid`."""

        async def another() -> bool:
            return self.ready["processes"].get(name) not in (None, pid)

        await until(another, 15)


@asynccontextmanager
async def running_stack(folder: Path, *options: str, **environment: str) -> AsyncIterator[Stack]:
    """Starts the product, waits until it is ready, and stops it at the end."""
    ready_file = folder / "ready.json"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tenantry", "dev", "--port", "0", "--data", str(folder / "data")),
        *("--ready-file", str(ready_file), *options),
        env={**os.environ, **environment},
    )

    async def ready() -> bool:
        assert process.returncode is None, "the stack ended before it was ready"
        return ready_file.exists()

    try:
        await until(ready, 60)
        yield Stack(process, ready_file)
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 20)
