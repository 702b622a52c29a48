"""Secrets as files: commands and processes take from a folder what their environment lacks."""

from pathlib import Path

from support.stack import tenantry
from tenantry.servers import Servers


async def test_a_command_reads_the_files_that_its_container_has(
    servers: Servers, tmp_path: Path
) -> None:
    url = tmp_path / "tenantry_nats_admin_url"
    url.write_text(servers.nats_url("admin") + "\n")
    done = await tenantry("bootstrap", TENANTRY_SECRETS_DIR=str(tmp_path))
    assert (done.code, done.err) == (0, "")
    # The environment has the first word.
    elsewhere = {"TENANTRY_NATS_ADMIN_URL": "nats://a:b@127.0.0.1:1"}
    failed = await tenantry("bootstrap", TENANTRY_SECRETS_DIR=str(tmp_path), **elsewhere)
    assert failed.code == 1
    absent = await tenantry("bootstrap", TENANTRY_SECRETS_DIR=str(tmp_path / "nothing"))
    assert absent.code == 2
