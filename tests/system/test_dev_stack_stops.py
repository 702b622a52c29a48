"""What `tenantry dev` promises when it ends: no trace, and all there at the next start."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from support.stack import PROCESSES, START_LIMIT, dev_stack, eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def segments() -> set[int]:
    """The ids of the machine's System V segments."""
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return {int(line.split()[1]) for line in lines}


def all_gone(processes: list[psutil.Process], seconds: float) -> None:
    _, alive = psutil.wait_procs(processes, seconds)
    assert not alive, [process.cmdline() for process in alive if process.is_running()]


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
