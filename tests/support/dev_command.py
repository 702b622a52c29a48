"""One run of `tenantry dev` as a user sees it, and what it leaves on the machine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil

PROCESSES = ("edge", "identity", "projects", "webhooks", "audit", "postgres", "nats", "redis")
START_LIMIT = 90.0
STOP_LIMIT = 10.0

T = TypeVar("T")


def eventually(what: str, condition: Callable[[], T | None], seconds: float) -> T:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


class DevStack:
    """One run of the command on a folder, and all that it started."""

    def __init__(
        self, folder: Path, *options: str, wrapper: tuple[str, ...] = (), **env: str
    ) -> None:
        self.data = folder / "data"
        self.ready_file = folder / "ready.json"
        self.output_file = folder / "output.txt"
        argv = [*wrapper, sys.executable, "-m", "tenantry", "dev", "--port=0"]
        argv += [f"--data={self.data}", f"--ready-file={self.ready_file}", *options]
        with self.output_file.open("w") as output:
            self.process = subprocess.Popen(
                argv, stdout=output, stderr=output, env={**os.environ, **env}
            )

    @property
    def output(self) -> str:
        return self.output_file.read_text()

    def until_ready(self) -> dict[str, Any]:
        def told() -> dict[str, Any] | None:
            assert self.process.poll() is None, self.output
            return self.told()

        return eventually(f"ready, but it said:\n{self.output}", told, START_LIMIT)

    def told(self) -> dict[str, Any] | None:
        if not self.ready_file.exists():
            return None
        content: dict[str, Any] = json.loads(self.ready_file.read_text())
        return content

    def tree(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def shared_memory(self) -> int:
        """The id of PostgreSQL's System V segment."""
        lines = (self.data / "postgres/data/postmaster.pid").read_text().splitlines()
        return int(lines[6].split()[1])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(STOP_LIMIT)


@contextmanager
def dev_stack(folder: Path, *options: str, **more: Any) -> Iterator[DevStack]:
    stack = DevStack(folder, *options, **more)
    try:
        yield stack
    finally:
        if stack.process.poll() is None:
            stack.stop()


def segments() -> set[int]:
    """The ids of the machine's System V segments."""
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return {int(line.split()[1]) for line in lines}


def all_gone(processes: list[psutil.Process], seconds: float) -> None:
    _, alive = psutil.wait_procs(processes, seconds)
    assert not alive, [process.cmdline() for process in alive if process.is_running()]
