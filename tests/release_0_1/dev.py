"""`tenantry dev` of version 0.1, from its source."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support.waiting import until

FOLDERS = ("libs", "libs/client", "services", "deploy")


def environment_of_0_1(source: Path) -> dict[str, str]:
    """The packages that are installed run the old source by it."""
    return {"PYTHONPATH": os.pathsep.join(str(source / each) for each in FOLDERS)}


@asynccontextmanager
async def dev_of_0_1(source: Path, folder: Path) -> AsyncIterator[dict[str, Any]]:
    """Runs on `folder/data`; gives the content of its ready file."""
    ready_file = folder / "ready-0.1.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "tenantry", "dev", "--no-demo", "--port=0"),
        *(f"--data={folder / 'data'}", f"--ready-file={ready_file}"),
        env={**os.environ, **environment_of_0_1(source), "TENANTRY_RATE_LIMIT": "100000/second"},
        stdout=asyncio.subprocess.DEVNULL,
    )

    async def ready() -> bool:
        assert process.returncode is None, "it ended before it was ready"
        return ready_file.exists()

    try:
        await until(ready, 90)
        yield json.loads(ready_file.read_text())
    finally:
        process.terminate()
        await process.wait()
