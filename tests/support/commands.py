"""The `tenantry` command as a user runs it: a process of its own, in a folder of its own."""

import asyncio
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Ran:
    """How a command ended: its exit code and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """What --json says of a failure."""
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
