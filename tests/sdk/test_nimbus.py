"""The documentation's verifier in Java, with nimbus-jose-jwt, beside a running product."""

import base64
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import ClientSession
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sdk.conftest import JAVA
from support.api import Api
from support.stack import running_stack
from support.tools import run

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "nimbus"
pytestmark = pytest.mark.tools(*JAVA)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_stack(tmp_path) as stack, ClientSession() as http:
        yield Api(http, stack.url, stack.ready["api_key"])


async def created(api: Api, path: str, body: dict[str, Any]) -> Any:
    answer = await api("POST", path, body)
    assert answer.status == 201, answer.raw
    return answer.body


def verify(folder: Path, api: str, project: str, tokens: list[str]) -> list[str]:
    """What the example says of each token, one line for each."""
    shutil.copytree(EXAMPLE, folder)
    run("mvn", "--quiet", "--batch-mode", "compile", cwd=folder)
    done = subprocess.run(
        ["mvn", "--quiet", "--batch-mode", "exec:java", f"-Dexec.args={api} {project}"],
        cwd=folder,
        input="\n".join(tokens),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return re.findall(r"(?:valid|rejected): .*", done.stdout)  # Maven colours the first line


def another_signature(token: str) -> str:
    head, payload, signature = token.split(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    raw[0] ^= 1
    return f"{head}.{payload}.{base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}"


async def test_the_example_with_nimbus_verifies_the_tokens_of_its_project_alone(
    api: Api, tmp_path: Path
) -> None:
    user = await created(api, "/v1/admin/users", {"email": "nimbus@example.com"})
    tokens = {}
    for name in ("ours", "theirs"):
        project = await created(api, "/v1/admin/projects", {"name": name})
        path, body = f"/v1/admin/users/{user['id']}/sessions", {"project_id": project["id"]}
        tokens[name] = (project["id"], (await created(api, path, body))["access_token"])
    project, token = tokens["ours"]
    header = jwt.get_unverified_header(token)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert header["alg"] == "EdDSA"
    forged = jwt.encode(claims, Ed25519PrivateKey.generate(), "EdDSA", {"kid": header["kid"]})
    unsigned = jwt.encode(claims, None, "none", {"kid": header["kid"]})
    given = [token, another_signature(token), forged, tokens["theirs"][1], unsigned, token]
    said = verify(tmp_path / "nimbus", api.url, project, given)
    assert [each.partition(":")[0] for each in said] == ["valid", *["rejected"] * 4, "valid"], said
    assert said[0] == f"valid: {user['id']}"
