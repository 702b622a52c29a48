"""TLS of one connection to a receiver. No I/O: what was received goes in, what to send comes out.

With the loop's own TLS nobody could count what is received: session tickets without end, say.
"""

import ssl

_PLAIN_BYTES = 16 * 1024
"""The most that one record of TLS has."""


class TlsSession:
    """Checks the certificate for `host`. Every method raises ssl.SSLError."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._received = ssl.MemoryBIO()
        self._to_send = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._to_send, server_hostname=host)
        self.is_established = False

    def receive(self, data: bytes | memoryview) -> bytes:
        """Returns what it contains, decrypted; nothing until the handshake is done."""
        self._received.write(data)
        plain = b""
        try:
            if not self.is_established:
                self._tls.do_handshake()
                self.is_established = True
            while more := self._tls.read(_PLAIN_BYTES):
                plain += more
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass  # after the latter the end of the connection follows
        return plain

    def send(self, data: bytes = b"") -> bytes:
        """Returns what is to be sent now, with the data encrypted."""
        if data:
            self._tls.write(data)
        return self._to_send.read()
