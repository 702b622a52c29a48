"""docker-compose.yml as a user runs it, under a project of its own with secrets of its own."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LONGEST = 1800
"""Seconds that a build may take where nothing is cached."""


def engine() -> str | None:
    """Why there is nothing to run containers with; None when there is."""
    if shutil.which("docker") is None:
        return "there is no docker here"
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if ran.returncode:
            said = (ran.stderr or ran.stdout).strip().splitlines() or ["no reason given"]
            return f"`{' '.join(command)}` failed: {said[-1]}"
    return None


@dataclass
class Compose:
    """One project; `settings` are the variables of docker-compose.yml that a user may set."""

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
    compose = Compose(f"tenantry-test-{os.getpid()}", env_file, settings)
    try:
        yield compose
    finally:
        await compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "5")
