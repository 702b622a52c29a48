"""What `tenantry dev` promises: up by one command, back after any death, gone without a trace."""

import json
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

PROCESSES = ("edge", "identity", "projects", "webhooks", "audit", "postgres", "nats", "redis")
START_LIMIT = 90.0
STOP_LIMIT = 10.0

T = TypeVar("T")


def eventually(what: str, condition: Callable[[], T | None], seconds: float) -> T:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


class DevStack:
    """One run of the command on a folder, and all that it started."""

    def __init__(
        self, folder: Path, *options: str, wrapper: tuple[str, ...] = (), **env: str
    ) -> None:
        self.data = folder / "data"
        self.ready_file = folder / "ready.json"
        self.output_file = folder / "output.txt"
        argv = [*wrapper, sys.executable, "-m", "tenantry", "dev", "--port=0"]
        argv += [f"--data={self.data}", f"--ready-file={self.ready_file}", *options]
        with self.output_file.open("w") as output:
            self.process = subprocess.Popen(
                argv, stdout=output, stderr=output, env={**os.environ, **env}
            )

    @property
    def output(self) -> str:
        return self.output_file.read_text()

    def until_ready(self) -> dict[str, Any]:
        def told() -> dict[str, Any] | None:
            assert self.process.poll() is None, self.output
            return self.told()

        return eventually(f"ready, but it said:\n{self.output}", told, START_LIMIT)

    def told(self) -> dict[str, Any] | None:
        if not self.ready_file.exists():
            return None
        content: dict[str, Any] = json.loads(self.ready_file.read_text())
        return content

    def tree(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def shared_memory(self) -> int:
        """The id of PostgreSQL's System V segment."""
        lines = (self.data / "postgres/data/postmaster.pid").read_text().splitlines()
        return int(lines[6].split()[1])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(STOP_LIMIT)


@contextmanager
def dev_stack(folder: Path, *options: str, **more: Any) -> Iterator[DevStack]:
    stack = DevStack(folder, *options, **more)
    try:
        yield stack
    finally:
        if stack.process.poll() is None:
            stack.stop()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevStack]:
    with dev_stack(tmp_path_factory.mktemp("running")) as stack:
        stack.until_ready()
        yield stack


def segments() -> set[int]:
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return {int(line.split()[1]) for line in lines}


def all_gone(processes: list[psutil.Process], seconds: float) -> None:
    _, alive = psutil.wait_procs(processes, seconds)
    assert not alive, [process.cmdline() for process in alive if process.is_running()]


def test_the_ready_file_names_every_process(running: DevStack) -> None:
    told = running.until_ready()
    started = {process.pid for process in psutil.Process(running.process.pid).children()}
    assert set(told["processes"].values()) == started
    assert set(told["processes"]) == set(PROCESSES)
    assert told["operator_key"].startswith("tnt_op_")
    assert stat.S_IMODE(running.ready_file.stat().st_mode) == 0o600


def test_the_printed_curl_line_works_when_pasted(running: DevStack) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    told = running.until_ready()
    line = eventually(
        "curl line", lambda: re.search(r"^ *curl .*$", running.output, re.MULTILINE), 5
    )
    answer = subprocess.run(["sh", "-c", line[0]], capture_output=True, check=True).stdout
    assert json.loads(answer)["tenant"]["id"] == told["tenant_id"]


def test_only_loopback_is_bound(running: DevStack) -> None:
    listening = [
        connection.laddr.ip
        for process in running.tree()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= len(PROCESSES)
    assert set(listening) == {"127.0.0.1"}


def test_no_secret_is_on_a_command_line_or_readable_by_others(running: DevStack) -> None:
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


def test_postgres_never_runs_as_root(running: DevStack) -> None:
    postgres = psutil.Process(running.until_ready()["processes"]["postgres"])
    assert all(process.uids().real != 0 for process in [postgres, *postgres.children()])


def test_nothing_lies_in_posix_shared_memory(running: DevStack) -> None:
    maps = [Path(f"/proc/{process.pid}/maps").read_text() for process in running.tree()]
    assert not [line for text in maps for line in text.splitlines() if "/dev/shm/" in line]


@pytest.mark.parametrize("name", PROCESSES)
def test_a_killed_process_is_restarted_within_a_second(running: DevStack, name: str) -> None:
    before = running.until_ready()["processes"]
    os.kill(before[name], signal.SIGKILL)

    def successor() -> set[int]:
        now = {each.pid for each in psutil.Process(running.process.pid).children()}
        return now - set(before.values())

    eventually(f"a new {name}", successor, 1.0)

    def rewritten() -> dict[str, Any] | None:
        told = running.told()
        return told if told and told["processes"][name] != before[name] else None

    after = eventually("the ready file names it", rewritten, 30)
    assert psutil.pid_exists(after["processes"][name])
    assert {**after["processes"], name: 0} == {**before, name: 0}
    assert f"{name} is ready again" in running.output


def test_all_killed_at_once_come_back(running: DevStack) -> None:
    before = running.until_ready()["processes"]
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)

    def rewritten() -> dict[str, Any] | None:
        told = running.told()
        return told if told and not set(told["processes"].values()) & set(before.values()) else None

    eventually("all are new", rewritten, START_LIMIT)


def test_a_second_start_on_one_folder_is_refused(running: DevStack, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "tenantry", "dev", "--port=0", f"--data={running.data}"]
    second = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert f"pid {running.process.pid}" in second.stderr
    assert "--data" in second.stderr
    assert running.process.poll() is None


def test_a_taken_port_is_named_with_the_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with dev_stack(tmp_path, f"--port={port}") as stack:
            assert stack.process.wait(30) == 1
    assert f"port {port} is taken" in stack.output
    assert "--port" in stack.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_leaves_nothing_and_a_new_start_finds_the_same_tenant(
    tmp_path: Path, number: signal.Signals
) -> None:
    with dev_stack(tmp_path) as stack:
        first = stack.until_ready()
        children, segment = stack.tree(), stack.shared_memory()
        assert segment in segments()
        assert stack.stop(number) == 0
    all_gone(children, 0.5)
    assert segment not in segments()
    assert not stack.ready_file.exists()
    with dev_stack(tmp_path) as stack:
        second = stack.until_ready()
    for name in ("tenant_id", "api_key", "operator_key"):
        assert first[name] is not None
        assert second[name] == first[name]


def test_a_killed_supervisor_leaves_nothing_and_a_new_start_works(tmp_path: Path) -> None:
    with dev_stack(tmp_path, "--no-demo") as stack:
        assert stack.until_ready()["api_key"] is None
        children, segment = stack.tree(), stack.shared_memory()
        stack.process.kill()
        stack.process.wait()
        with dev_stack(tmp_path, "--no-demo") as again:
            again.ready_file.unlink(missing_ok=True)
            again.until_ready()
    all_gone(children, 0)
    assert segment not in segments()


@pytest.mark.parametrize("line", ["Starting", "NATS", "PostgreSQL", "schema"])
def test_a_stop_in_the_middle_of_starting_leaves_nothing(tmp_path: Path, line: str) -> None:
    with dev_stack(tmp_path) as stack:
        eventually(line, lambda: line in stack.output, START_LIMIT)
        children = stack.tree()
        assert stack.stop() == 0, stack.output
    all_gone(children, 0.5)
    assert "ready" not in stack.output


def test_a_second_interrupt_kills_at_once(tmp_path: Path) -> None:
    with dev_stack(tmp_path, "--no-demo") as stack:
        told = stack.until_ready()
        children, segment = stack.tree(), stack.shared_memory()
        os.kill(told["processes"]["edge"], signal.SIGSTOP)  # it will not hear the first
        stack.process.send_signal(signal.SIGINT)
        eventually("stopping", lambda: "Stopping" in stack.output, 5)
        begun = time.monotonic()
        assert stack.stop(signal.SIGINT) != 0
        assert time.monotonic() - begun < 1.5
    all_gone(children, 0.5)
    assert segment not in segments()


def test_a_process_that_cannot_start_is_named_with_its_last_words(tmp_path: Path) -> None:
    with dev_stack(tmp_path, TENANTRY_RATE_LIMIT="plenty") as stack:
        assert stack.process.wait(START_LIMIT) == 1
    assert "Cannot start: edge ended with exit code" in stack.output
    assert "TENANTRY_RATE_LIMIT" in stack.output


def as_an_ordinary_user() -> tuple[str, ...]:
    """A wrapper, empty unless we are root. An interpreter below /root must stay readable for it."""
    if os.geteuid() != 0:
        return ()
    nobody = pwd.getpwnam("nobody")
    ids = (f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")
    # setpriv itself may still enter any folder: what counts is what its program's child can run.
    probe_again = (
        "import os, sys; os.execv(sys.executable, [sys.executable, '-c', 'import tenantry'])"
    )
    capability = "-all,+dac_read_search"
    for reach in ((), (f"--inh-caps={capability}", f"--ambient-caps={capability}")):
        wrapper = ("setpriv", *ids, *reach)
        probe = [*wrapper, sys.executable, "-c", probe_again]
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return wrapper
    pytest.skip("no other user can reach this interpreter")


def test_an_ordinary_user_can_run_it() -> None:
    folder = Path(tempfile.mkdtemp(prefix="tenantry-"))
    try:
        wrapper = as_an_ordinary_user()
        if wrapper:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        with dev_stack(folder, wrapper=wrapper, HOME=str(folder)) as stack:
            told = stack.until_ready()
            users = {process.uids().effective for process in stack.tree()}
            children, segment = stack.tree(), stack.shared_memory()
            assert stack.stop() == 0
        assert set(told["processes"]) == set(PROCESSES)
        assert len(users) == 1
        assert users != {0}
        all_gone(children, 0.5)
        assert segment not in segments()
    finally:
        shutil.rmtree(folder)
