"""What `tenantry dev` promises while it runs: up by one command, back after any death."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.stack import PROCESSES, START_LIMIT, Stack, dev_stack, eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with dev_stack(tmp_path_factory.mktemp("running")) as stack:
        stack.until_ready()
        yield stack


def test_the_ready_file_names_every_process(running: Stack) -> None:
    told = running.until_ready()

    def only_those_named() -> bool:
        """Programs that run once, such as that of the erasure, end by themselves."""
        started = {process.pid for process in psutil.Process(running.process.pid).children()}
        return set(told["processes"].values()) == started

    eventually("only the processes that are named", only_those_named, 20)
    assert set(told["processes"]) == set(PROCESSES)
    assert told["operator_key"].startswith("tnt_op_")
    assert stat.S_IMODE(running.ready_file.stat().st_mode) == 0o600


def test_the_printed_curl_line_works_when_pasted(running: Stack) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    told = running.until_ready()
    line = eventually(
        "curl line", lambda: re.search(r"^ *curl .*$", running.output, re.MULTILINE), 5
    )
    answer = subprocess.run(["sh", "-c", line[0]], capture_output=True, check=True).stdout
    assert json.loads(answer)["tenant"]["id"] == told["tenant_id"]


SHARED_MIB = 60


def test_the_processes_of_the_product_share_memory_and_nothing_else(running: Stack) -> None:
    """They are forked from the supervisor, and look as if they had been started by themselves."""
    secrets = json.loads((running.data / "secrets.json").read_text())["postgres"]
    for name in ("identity", "projects", "webhooks", "audit", "edge"):
        process = psutil.Process(running.until_ready()["processes"][name])
        memory = process.memory_full_info()
        assert (memory.rss - memory.uss) / 2**20 > SHARED_MIB, name
        assert process.cmdline()[1:4] == ["-P", "-m", name]
        assert os.getsid(process.pid) == process.pid
        own = process.environ()
        assert own["TENANTRY_NATS_URL"].startswith(f"nats://{name}:")
        others = [value for key, value in secrets.items() if key != name]
        assert not [value for value in others if value in str(own)], name
        assert not set(own) & {"PYTEST_CURRENT_TEST", "VIRTUAL_ENV"}
        files = {Path(each.path) for each in process.open_files()}
        assert files <= {running.data / "lock", running.data / "logs" / f"{name}.log"}


def test_only_loopback_is_bound(running: Stack) -> None:
    listening = [
        connection.laddr.ip
        for process in running.tree()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= len(PROCESSES)
    assert set(listening) == {"127.0.0.1"}


def test_no_secret_is_on_a_command_line_or_readable_by_others(running: Stack) -> None:
    text = (running.data / "secrets.json").read_text()
    secrets = re.findall(r'": "([^"]{16,})"', text)
    assert len(secrets) > 15
    lines = " ".join(word for process in running.tree() for word in process.cmdline())
    logs = "".join(log.read_text() for log in (running.data / "logs").iterdir())
    told = (running.until_ready()["api_key"], running.until_ready()["tenant_id"])
    for secret in secrets:
        assert secret not in lines
        assert secret in told or secret not in running.output
        assert secret == told[1] or secret not in logs
    for path in (running.data, running.data / "postgres", running.data / "secrets.json"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_postgres_never_runs_as_root(running: Stack) -> None:
    postgres = psutil.Process(running.until_ready()["processes"]["postgres"])
    assert all(process.uids().real != 0 for process in [postgres, *postgres.children()])


def test_nothing_lies_in_posix_shared_memory(running: Stack) -> None:
    maps = [Path(f"/proc/{process.pid}/maps").read_text() for process in running.tree()]
    assert not [line for text in maps for line in text.splitlines() if "/dev/shm/" in line]


@pytest.mark.parametrize("name", PROCESSES)
def test_a_killed_process_is_restarted_within_a_second(running: Stack, name: str) -> None:
    before = running.until_ready()["processes"]
    os.kill(before[name], signal.SIGKILL)

    def successor() -> set[int]:
        now = {each.pid for each in psutil.Process(running.process.pid).children()}
        return now - set(before.values())

    eventually(f"a new {name}", successor, 1.0)

    def rewritten() -> dict[str, Any] | None:
        told = running.ready
        return told if told and told["processes"][name] != before[name] else None

    after = eventually("the ready file names it", rewritten, 30)
    assert psutil.pid_exists(after["processes"][name])
    assert {**after["processes"], name: 0} == {**before, name: 0}
    assert f"{name} is ready again" in running.output


def test_all_killed_at_once_come_back(running: Stack) -> None:
    before = running.until_ready()["processes"]
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)

    def rewritten() -> dict[str, Any] | None:
        told = running.ready
        return told if told and not set(told["processes"].values()) & set(before.values()) else None

    eventually("all are new", rewritten, START_LIMIT)


def test_a_second_start_on_one_folder_is_refused(running: Stack, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "tenantry", "dev", "--port=0", f"--data={running.data}"]
    second = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert f"pid {running.process.pid}" in second.stderr
    assert "--data" in second.stderr
    assert running.process.poll() is None


@pytest.mark.parametrize(
    ("caller", "way_out"),
    [({}, "another with --port"), ({"TENANTRY_FROM_MAKE": "1"}, 'make run ARGS="--port')],
)
def test_a_taken_port_is_named_with_the_way_out(
    tmp_path: Path, caller: dict[str, str], way_out: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with dev_stack(tmp_path, f"--port={port}", **caller) as stack:
            assert stack.process.wait(30) == 1
    assert f"port {port} is taken" in stack.output
    assert way_out in stack.output
