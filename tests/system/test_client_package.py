"""The client as others install it: one wheel that needs nothing of a server."""

import asyncio
import json
import re
import sys
from importlib import metadata
from pathlib import Path

CLIENT = Path(__file__).parents[2] / "libs" / "client"

_USED = """
import json, sys
wheel, absent = sys.argv[1], json.loads(sys.argv[2])
sys.modules.update(dict.fromkeys(absent))
sys.path.insert(0, wheel)
import tenantry_client, tenantry_client.webhooks, contracts
assert all(each.__file__.startswith(wheel) for each in (tenantry_client, contracts))
from tenantry_client import Client, api, models
Client("http://127.0.0.1").close()
print(api.create_user(models.CreateUser(email="ada@example.com")).url_path)
"""


async def test_the_wheel_works_with_what_it_names(tmp_path: Path) -> None:
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path))
    await run("-m", "pip", "wheel", *options, str(CLIENT))
    (wheel,) = tmp_path.glob("*.whl")  # noqa: ASYNC240 - a folder of one file
    (described,) = metadata.distributions(path=[str(wheel)])
    needed = closure(described.requires or [])
    absent = [
        name
        for name, owners in metadata.packages_distributions().items()
        if not needed & {normal(each) for each in owners}
    ]
    assert {"asyncpg", "nats", "sqlalchemy"} <= set(absent)
    used = await run("-c", _USED, str(wheel), json.dumps(absent))
    assert used.strip() == "/v1/admin/users"


async def run(*argv: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *argv, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0
    return said.decode()


def closure(requirements: list[str]) -> set[str]:
    """The distributions named, and all that they need; extras are not installed."""
    found: set[str] = set()
    left = list(requirements)
    while left:
        each = left.pop()
        name = normal(re.split(r"[^A-Za-z0-9._-]", each, maxsplit=1)[0])
        if name not in found and "extra ==" not in each:
            found.add(name)
            left += (metadata.distribution(name).requires or []) if is_installed(name) else []
    return found


def is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
