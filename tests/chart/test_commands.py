"""The commands of the pods, as the chart renders them, run with the secrets that the pods have."""

import base64
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from chart.conftest import Helm, Rendered
from contracts.topology import ENCRYPTING_SERVICES, SERVICE_NAMES
from support.tools import run
from tenantry.servers import Servers

pytestmark = pytest.mark.tools("go")
KEY = base64.b64encode(bytes(range(32))).decode()
DAY = 86_400


def execute(container: dict[str, Any], secrets: dict[str, str], folder: Path) -> None:
    """The paths of the container are below the folder."""
    mounted = folder / "secrets"
    mounted.mkdir(exist_ok=True)
    for name, value in secrets.items():
        (mounted / name).write_text(value)
    command = [each.replace("/backups", str(folder / "backups")) for each in container["command"]]
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    run(*command, cwd=folder, PATH=path, TENANTRY_SECRETS_DIR=str(mounted))


def test_the_job_migrates_and_the_cron_job_backs_up_and_deletes_old_files(
    helm: Helm, servers: Servers, tmp_path: Path
) -> None:
    arguments = ("--set", "backup.enabled=true", "--set", "backup.keepDays=7")
    containers = Rendered({}, helm.render(*arguments)).containers()
    secrets = {
        f"TENANTRY_{name.upper()}_MIGRATION_URL": servers.migration_url(name)
        for name in SERVICE_NAMES
    }
    execute(containers["migrate"], secrets, tmp_path)
    finished = Rendered({}, helm.render("--set", "migrate.afterRollout=true")).containers()
    assert finished["migrate"]["command"] == [*containers["migrate"]["command"], "--after-rollout"]
    execute(finished["migrate"], secrets, tmp_path)
    for name in SERVICE_NAMES:
        secrets[f"TENANTRY_{name.upper()}_HASH_KEYS"] = f"{name}-1:{KEY}"
    for name in ENCRYPTING_SERVICES:
        secrets[f"TENANTRY_{name.upper()}_ENCRYPTION_KEYS"] = f"{name}-1:{KEY}"
    folder = tmp_path / "backups"
    folder.mkdir()
    ages = {"old.backup": 9, "young.backup": 5, "other.txt": 9}
    for name, days in ages.items():
        (folder / name).touch()
        os.utime(folder / name, (time.time() - days * DAY,) * 2)
    execute(containers["backup"], secrets, tmp_path)
    (made,) = {each.name for each in folder.iterdir()} - {"young.backup", "other.txt"}
    assert made.endswith(".backup")
    assert made not in ages
    assert (folder / made).stat().st_size > 1000
