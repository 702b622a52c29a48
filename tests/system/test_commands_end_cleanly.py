"""However the machine fails a command, it ends with a sentence and leaves nothing half written."""

import asyncio
import json
import os
import re
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from contracts.examples import example_of
from contracts.tenants import WhoAmI
from support.waiting import until

HOST = "127.0.0.1"
LINES = b'{"id": "evt_1"}\n' * 100
TRACE = re.compile(rb"Traceback|TENANTRY_TRACEBACK|Exception ignored")
WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""Root that meets the permissions of files, as everyone else does."""


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A server that knows who calls, and whose exports and imports have no end."""
    body = json.dumps(example_of(WhoAmI)).encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                if request.startswith(b"GET /v1/admin/tenant "):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
                    writer.write(body)
                elif b"/audit/export" in request:
                    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    while True:
                        writer.write(b"%x\r\n%b\r\n" % (len(LINES), LINES))
                        await writer.drain()
                        await asyncio.sleep(0.01)
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, HOST, 0) as server:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}"


class Running:
    """A command that runs in a folder."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def ended(self) -> tuple[int, bytes, str]:
        out, err = await asyncio.wait_for(self.process.communicate(), 60)
        assert not TRACE.search(err), err
        return self.process.returncode or 0, out or b"", err.decode(errors="replace")


async def start(
    folder: Path,
    *arguments: str,
    wrapper: Sequence[str] = (),
    stdout: int = asyncio.subprocess.PIPE,
    before: Callable[[], None] | None = None,
    **environment: str,
) -> Running:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TENANTRY_")}
    kept.pop("PYTHONUNBUFFERED", None)  # which would hide what is written only at the very end
    keys = {"TENANTRY_API_KEY": "k", "TENANTRY_OPERATOR_KEY": "k"}
    process = await asyncio.create_subprocess_exec(
        *(*wrapper, sys.executable, "-m", "tenantry", *arguments),
        cwd=folder,
        env={**kept, **keys, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=before,
    )
    return Running(process)


async def run(folder: Path, *arguments: str, **how: Any) -> tuple[int, bytes, str]:
    return await (await start(folder, *arguments, **how)).ended()


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def small_files() -> None:
    """The disk takes no more than this of one file."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
async def test_an_export_that_is_ended_leaves_the_old_file_alone(
    tmp_path: Path, url: str, number: int, code: int
) -> None:
    file, draft = tmp_path / "trail.ndjson", tmp_path / "trail.ndjson.tmp"
    file.write_text("old")
    command = await start(tmp_path, "audit", "export", "--url", url, "-o", file.name)

    async def has_begun() -> bool:
        return draft.exists() and draft.stat().st_size > 0

    await until(has_begun, 20)
    command.process.send_signal(number)
    ended, out, err = await command.ended()
    assert (ended, out) == (code, b"")
    assert err == ("Interrupted.\n" if number == signal.SIGINT else "")
    assert (file.read_text(), draft.exists()) == ("old", False)


async def test_an_import_that_is_interrupted_says_how_it_goes_on(tmp_path: Path, url: str) -> None:
    (tmp_path / "users.ndjson").write_text('{"email": "ada@example.com"}\n')
    command = await start(tmp_path, "users", "import", "users.ndjson", "--url", url)

    async def has_begun() -> bool:
        return (tmp_path / "users.ndjson.rejected.ndjson").exists()

    await until(has_begun, 20)
    command.process.send_signal(signal.SIGINT)
    code, _, err = await command.ended()
    assert code == 130
    assert "run it again" in err


async def test_a_verification_that_is_interrupted_ends(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "trail")
    command = await start(tmp_path, "audit", "verify", "--file", "trail")
    # Opening it for writing waits until the command reads.
    writing = await asyncio.to_thread((tmp_path / "trail").open, "wb")
    command.process.send_signal(signal.SIGINT)
    code, _, err = await command.ended()
    writing.close()
    assert (code, err) == (130, "Interrupted.\n")


async def test_a_full_disk_is_told_with_its_file(tmp_path: Path, url: str) -> None:
    export = ("audit", "export", "--url", url, "-o", "trail.ndjson")
    code, _, err = await run(tmp_path, *export, before=small_files)
    assert (code, names_in(tmp_path)) == (1, [])
    assert "trail.ndjson" in err
    assert "Make room" in err
    rows = "".join(f"{'x' * 200},a{n}@example.com,\n" for n in range(1000))
    # Each row has a cell more than the header: it is refused without a request.
    (tmp_path / "users.csv").write_text("email,name\n" + rows)
    load = ("users", "import", "users.csv", "--url", url)
    code, _, err = await run(tmp_path, *load, before=small_files)
    assert code == 1
    assert "users.csv.rejected.ndjson" in err
    assert "Make room" in err


@pytest.mark.parametrize("arguments", [("doctor", "--url=http://127.0.0.1:1"), ("--help",)])
async def test_standard_output_that_takes_nothing_is_told(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    for more in ((), ("--json",)) if arguments[0] == "doctor" else ((),):
        full = os.open("/dev/full", os.O_WRONLY)
        code, _, err = await run(tmp_path, *arguments, *more, stdout=full)
        os.close(full)
        assert code == 1
        assert "Make room" in err
        closed = await run(tmp_path, *arguments, *more, before=lambda: os.close(1))
        assert closed[0] == (1 if arguments[0] == "doctor" else 0)
        assert closed[2] == ""
        reading, writing = os.pipe()
        os.close(reading)
        broken = await run(tmp_path, *arguments, *more, stdout=writing)
        os.close(writing)
        assert broken == (1, b"", "")


async def test_an_export_into_a_pipe_ends_with_its_reader(tmp_path: Path, url: str) -> None:
    command = await start(tmp_path, "audit", "export", "--url", url)
    assert command.process.stdout is not None
    assert await command.process.stdout.readline() == LINES.splitlines(keepends=True)[0]
    command.process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
    assert (await command.process.wait()) == 1


async def test_a_device_is_written_to_and_not_replaced(tmp_path: Path, url: str) -> None:
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    code, _, err = await run(tmp_path, "audit", "export", "--url", url, "-o", "full")
    assert (code, "Make room" in err, full.is_symlink()) == (1, True, True)
    assert names_in(tmp_path) == ["full"]


async def test_a_folder_is_no_output_and_nothing_is_fetched_for_it(
    tmp_path: Path, url: str
) -> None:
    for output in (".", "", "..", "nowhere/trail"):
        code, out, err = await run(tmp_path, "audit", "export", "--url", url, "--output", output)
        assert (code, out) == (2, b"")
        assert "Name a file" in err
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "POSIX", "PYTHONIOENCODING": "latin-1"},
    ],
)
async def test_every_locale_shows_every_name(tmp_path: Path, environment: dict[str, str]) -> None:
    name = os.fsdecode("ü€😀\x1b[31m".encode() + b"\xff.ndjson")
    (tmp_path / name).write_text("{}\n")
    code, _, err = await run(tmp_path, "audit", "verify", "--file", name, **environment)
    assert (code, "\x1b" in err, ".ndjson" in err) == (2, False, True)
    for group in ((), ("audit", "verify")):
        assert (await run(tmp_path, *group, "--help", **environment))[0] == 0
    doctor = ("doctor", "--json", "--url=http://127.0.0.1:1", f"--data={name}")
    code, out, _ = await run(tmp_path, *doctor, **environment)
    assert (code, json.loads(out)["ok"]) == (1, False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs to be kept from reading everything")
async def test_files_without_a_right_are_named(tmp_path: Path, url: str) -> None:
    closed, users = tmp_path / "closed", tmp_path / "users.ndjson"
    closed.mkdir(mode=0o000)
    users.write_text('{"email": "ada@example.com"}\n')
    users.chmod(0o000)
    readable = tmp_path / "open"
    readable.mkdir()
    (readable / "users.ndjson").write_text('{"email": "ada@example.com"}\n')
    readable.chmod(0o555)
    failing: list[tuple[tuple[str, ...], dict[str, str], str]] = [
        (("users", "import", "users.ndjson", "--url", url), {}, "users.ndjson"),
        (("users", "import", "closed/users.ndjson", "--url", url), {}, "closed"),
        (("users", "import", "open/users.ndjson", "--url", url), {}, "open"),
        (("audit", "verify", "--file", "users.ndjson"), {}, "users.ndjson"),
        (("audit", "export", "--url", url, "-o", "closed/trail"), {}, "closed"),
        (("audit", "export", "--url", url, "-o", "open/trail"), {}, "open"),
        (("tenants", "list", "--data=closed"), {}, "closed"),
        (("tenants", "list", "--data=closed/data"), {}, "closed"),
        (("doctor", "--data=closed"), {}, "closed"),
        (("dev", "--data=open/data", "--port=0"), {}, "open/data"),
        (("tenants", "list"), {"TENANTRY_SECRETS_DIR": "closed"}, "closed"),
        (("tenants", "list"), {"TENANTRY_SECRETS_DIR": "nowhere"}, "nowhere"),
    ]
    for arguments, environment, named in failing:
        code, out, err = await run(tmp_path, *arguments, wrapper=WITHOUT_RIGHTS, **environment)
        assert code in (1, 2), arguments
        assert named in err + out.decode(), arguments


async def test_a_home_is_not_needed(tmp_path: Path) -> None:
    for home in ("/nowhere", "/proc", ""):
        code, _, err = await run(tmp_path, "doctor", "--url=http://127.0.0.1:1", HOME=home)
        assert (code, err) == (1, "")
