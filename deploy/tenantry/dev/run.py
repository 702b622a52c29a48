"""`tenantry dev`: runs the stack until a signal comes, and stops it however that ends."""

import asyncio
import os
import signal
import sys
import time

from tenantry.data_folder.folder import open_data_folder
from tenantry.data_folder.secrets import load_or_create
from tenantry.dev import console
from tenantry.dev.stack import Options, Stack
from tenantry.errors import CannotStart, ProgramFailed
from tenantry.servers import Servers
from tenantry.servers.ports import claim_port

KILLED = 130
"""Exit code after a second Ctrl-C."""


def run(options: Options) -> int:
    """The exit code: 0 when it was stopped on demand."""
    try:
        if options.port and not claim_port(options.port):
            raise CannotStart(
                f"port {options.port} is taken", f"choose another with {_port_option()}"
            )
        if options.ready_file and not options.ready_file.parent.is_dir():
            folder = options.ready_file.parent
            raise CannotStart(f"the folder {folder} does not exist", "create it for --ready-file")
        if options.ready_file and options.ready_file.is_dir():
            raise CannotStart(f"{options.ready_file} is a folder", "name a file by --ready-file")
        with open_data_folder(options.data) as data:
            data.rotate_logs()
            servers = Servers(data, load_or_create(data.root / "secrets.json"))
            _watch_children_without_threads()
            return asyncio.run(_run(Stack(options, servers, forks=sys.platform == "linux")))
    except (CannotStart, OSError) as error:
        console.print_failure(error)
        return 1


def _watch_children_without_threads() -> None:
    """As Python does itself from 3.12 on: a process that forks has one thread."""
    if sys.platform == "linux" and sys.version_info < (3, 12):
        asyncio.set_child_watcher(asyncio.PidfdChildWatcher())


def _port_option() -> str:
    """As the caller types it: `make` passes options on in a variable, and tells by another."""
    option = "--port 8500"
    shown = f'make run ARGS="{option}"' if "TENANTRY_FROM_MAKE" in os.environ else option
    return f"{shown} (0 takes any free one)"


async def _run(stack: Stack) -> int:
    stop, kill_now = _stop_signals()
    console.print_starting(stack.servers.data.root)
    start_task = asyncio.create_task(stack.start())
    stop_task = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({start_task, stop_task}, return_when=asyncio.FIRST_COMPLETED)
        if start_task.done():
            await start_task  # raises what went wrong
        await stop_task
        console.print_stopping()
    except (CannotStart, ProgramFailed, OSError) as error:
        console.print_failure(error)
        return 1
    finally:
        stopping_since = time.monotonic()
        start_task.cancel()
        await asyncio.wait({start_task})
        await stack.stop(kill_now)
        console.print_stopped(time.monotonic() - stopping_since)
    return KILLED if kill_now.is_set() else 0


def _stop_signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Two events: the first signal sets one, the second signal the other."""
    stop, kill_now = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (kill_now if stop.is_set() else stop).set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup ignores it
        numbers.append(signal.SIGHUP)
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stop, kill_now
