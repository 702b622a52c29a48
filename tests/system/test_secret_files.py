"""Secrets as files: commands and processes take from a folder what their environment lacks."""

from pathlib import Path

import pytest
from support.stack import tenantry
from tenantry.servers import Servers


@pytest.mark.parametrize("name", ["tenantry_nats_admin_url", "TENANTRY_NATS_ADMIN_URL"])
async def test_a_command_reads_the_files_that_its_container_has(
    servers: Servers, tmp_path: Path, name: str
) -> None:
    """In a Secret of Kubernetes they have the names of the variables."""
    url = tmp_path / "..data" / name
    url.parent.mkdir()
    (tmp_path / name).symlink_to(Path("..data", name))
    url.write_text(servers.nats_url("admin") + "\n")
    done = await tenantry("bootstrap", TENANTRY_SECRETS_DIR=str(tmp_path))
    assert (done.code, done.err) == (0, "")
    # The environment has the first word.
    elsewhere = {"TENANTRY_NATS_ADMIN_URL": "nats://a:b@127.0.0.1:1"}
    failed = await tenantry("bootstrap", TENANTRY_SECRETS_DIR=str(tmp_path), **elsewhere)
    assert failed.code == 1
    absent = await tenantry("bootstrap", TENANTRY_SECRETS_DIR=str(tmp_path / "nothing"))
    assert absent.code == 2
