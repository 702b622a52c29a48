"""Free ports of 127.0.0.1 that stay free until their server listens.

They lie below the kernel's ephemeral range: inside it, a client that reconnects to a dead server
can be given that server's port as its own, and so keep the server from coming back. Nor does
another process of ours choose them before the server listens, or while it is down.
"""

import os
import socket
from itertools import cycle, islice

HOST = "127.0.0.1"
BELOW_EPHEMERAL = range(20_000, 32_000)

# Each process begins its search elsewhere, and so meets few ports of others.
_begin = os.getpid() * 16 % len(BELOW_EPHEMERAL)
_candidates = cycle([*BELOW_EPHEMERAL[_begin:], *BELOW_EPHEMERAL[:_begin]])
_claimed: set[int] = set()
_locks: list[socket.socket] = []
"""UDP ports of the same numbers, which nobody sends to: the kernel frees them with the process."""


def claim_port(port: int) -> bool:
    """Whether a server can listen on the port; if so, `free_ports` does not return it any more."""
    if port in _claimed:
        return False
    with socket.socket() as probe:
        # As servers do, or a port would count as taken while old connections linger in TIME_WAIT.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    _claimed.add(port)
    return True


def free_ports(count: int) -> list[int]:
    """Distinct ports that nobody listens on. As long as this process lives, each is returned once
    on this machine.
    """
    return list(islice(filter(_claim_for_all, _candidates), count))


def _claim_for_all(port: int) -> bool:
    """Keeps the port from `free_ports` of every process."""
    lock = socket.socket(type=socket.SOCK_DGRAM)
    try:
        lock.bind((HOST, port))
    except OSError:
        lock.close()
        return False
    if not claim_port(port):
        lock.close()
        return False
    _locks.append(lock)
    return True
