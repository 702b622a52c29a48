"""The whole OpenAPI document against the running product: no 5xx, no answer outside it.

schemathesis with all checks, stateful links included; TENANTRY_FUZZ_SECONDS for each caller, 30 by
default. `make fuzz` takes ten minutes.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from support.api import Api, new_tenant
from support.figures import FIGURES
from support.stack import Stack

SECONDS = int(os.environ.get("TENANTRY_FUZZ_SECONDS", "30"))
ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("schemathesis.toml")


async def fuzz(stack: Stack, key: str, folder: Path, *options: str) -> dict[str, Any]:
    """Its report. The tool keeps what it writes in `folder`."""
    report = folder / "report.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"),
        *(f"{stack.url}/openapi.json", "--max-time", str(SECONDS)),
        *("--suppress-health-check", "all", "--report", "json", "--report-json-path", str(report)),
        *options,
        cwd=folder,
        env={**os.environ, "TENANTRY_FUZZ_KEY": key, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 2 * SECONDS + 120)
    assert report.exists(), said.decode()[-4000:]
    found: dict[str, Any] = json.loads(report.read_text())
    FIGURES["fuzz examples, HTTP"] += found["test_cases"]["generated"]
    assert not found["failures"], said.decode()[-12_000:]
    return found


@pytest.mark.parametrize("caller", ["tenant", "operator"])
async def test_no_answer_is_outside_the_document(
    stack: Stack, operator: Api, tmp_path: Path, caller: str
) -> None:
    before = stack.ready["processes"]
    tenant = await new_tenant(operator.http, stack.url, str(operator.key))
    key, options = (tenant.key, ()) if caller == "tenant" else (operator.key, _TENANTS)
    found = await fuzz(stack, str(key), tmp_path, *options)
    assert found["operations"]["tested"] == found["operations"]["selected"] > 0
    assert found["test_cases"]["generated"] > 100
    assert stack.ready["processes"] == before


_TENANTS = ("--include-tag", "Tenants")
