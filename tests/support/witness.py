"""A witness as c2sp.org/tlog-witness has it: cosigns what continues the checkpoint that it saw."""

import base64
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tenantry.servers.ports import HOST

NAME = "witness.test/w1"


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def is_consistent(old: tuple[int, bytes], new: tuple[int, bytes], proof: list[bytes]) -> bool:
    """RFC 9162, section 2.1.4.2."""
    (first, first_root), (second, second_root) = old, new
    if first in (0, second):
        return not proof and (first == 0 or first_root == second_root)
    path = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    if not path:
        return False
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for each in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = _node(each, fr), _node(each, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = _node(sr, each)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and (fr, sr) == (first_root, second_root)


@dataclass
class Witness:
    """`seen`: size and root of the last checkpoint of each origin. `broken`: answers nonsense."""

    url: str = ""
    seen: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    asked: int = 0
    broken: bool = False
    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def key(self) -> str:
        return f"{NAME}+{self._id().hex()}+{base64.b64encode(self._public()).decode()}"

    @property
    def setting(self) -> str:
        return f"{self.url} {self.key}"

    def _public(self) -> bytes:
        return b"\4" + self.private.public_key().public_bytes_raw()

    def _id(self) -> bytes:
        return hashlib.sha256(NAME.encode() + b"\n" + self._public()).digest()[:4]

    async def add_checkpoint(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.broken:
            return web.Response(text="no signature at all\n")
        head, _, checkpoint = (await request.text()).partition("\n\n")
        first, *lines = head.split("\n")
        old, proof = int(first.removeprefix("old ")), list(map(base64.b64decode, lines))
        body = checkpoint.partition("\n\n")[0] + "\n"
        origin, size, root = body.split("\n")[:3]
        new = (int(size), base64.b64decode(root))
        seen = self.seen.get(origin, (0, b""))
        if old != seen[0]:
            return web.Response(
                status=409, text=f"{seen[0]}\n", headers={"Content-Type": "text/x.tlog.size"}
            )
        if not is_consistent(seen, new, proof):
            return web.Response(status=422)
        self.seen[origin] = new
        return web.Response(text=self._cosign(body))

    def _cosign(self, body: str) -> str:
        now = int(time.time())
        signature = self.private.sign(f"cosignature/v1\ntime {now}\n{body}".encode())
        data = self._id() + now.to_bytes(8, "big") + signature
        return f"\N{EM DASH} {NAME} {base64.b64encode(data).decode()}\n"


@asynccontextmanager
async def running_witness() -> AsyncIterator[Witness]:
    """Listens on a free port of 127.0.0.1."""
    witness = Witness()
    app = web.Application()
    app.router.add_post("/add-checkpoint", witness.add_checkpoint)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    witness.url = f"http://{HOST}:{runner.addresses[0][1]}"
    try:
        yield witness
    finally:
        await runner.cleanup()
