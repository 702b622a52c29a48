"""`tenantry dev`: runs the stack until a signal comes, and stops it whatever way that ends."""

import asyncio
import signal
import time

from tenantry import console
from tenantry.datafolder import open_data_folder
from tenantry.keys import load_or_make
from tenantry.loopback import claim
from tenantry.problems import CannotStart, ProgramFailed
from tenantry.servers import Servers
from tenantry.stack import Options, Stack

KILLED = 130
"""Exit code after a second Ctrl-C."""


def run(options: Options) -> int:
    """The exit code: 0 when stopped on demand."""
    try:
        if options.port and not claim(options.port):
            raise CannotStart(
                f"port {options.port} is taken: choose another with --port (0 takes any free one)"
            )
        if options.ready_file and not options.ready_file.parent.is_dir():
            raise CannotStart(f"there is no folder {options.ready_file.parent} for --ready-file")
        with open_data_folder(options.data) as data:
            data.rotate_logs()
            servers = Servers(data, load_or_make(data.root / "secrets.json"))
            return asyncio.run(_run(Stack(options, servers)))
    except (CannotStart, OSError) as problem:
        console.failed(problem)
        return 1


async def _run(stack: Stack) -> int:
    stop, hurry = _stop_signals()
    console.starting(stack.servers.data.root)
    starting = asyncio.create_task(stack.start())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting  # raises what went wrong
        await stopping
        console.stopping()
    except (CannotStart, ProgramFailed, OSError) as problem:
        console.failed(problem)
        return 1
    finally:
        begun = time.monotonic()
        starting.cancel()
        await asyncio.wait({starting})
        await stack.stop(hurry)
        console.stopped(time.monotonic() - begun)
    return KILLED if hurry.is_set() else 0


def _stop_signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Set by the first signal, and by the second."""
    stop, hurry = asyncio.Event(), asyncio.Event()

    def heard() -> None:
        (hurry if stop.is_set() else stop).set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup has it
        numbers.append(signal.SIGHUP)
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, heard)
    return stop, hurry
