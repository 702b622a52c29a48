"""Witnesses: others who cosign a checkpoint if it continues the one that they saw before.

https://c2sp.org/tlog-witness https://c2sp.org/tlog-cosignature
A witness that cannot be reached delays a checkpoint by seconds, and is left out until the next
round. One that has seen another trail is heard: what it refuses is not signed.
"""

import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import httpx
import structlog

from audit import note
from audit.note import COSIGNATURE, BadNoteError, VerifierKey

log = structlog.get_logger()

SECONDS = 5.0
MAX_BYTES = 16_384
"""Of an answer."""

Proof = Callable[[int], Awaitable[Sequence[bytes]]]
"""The consistency proof from a size to that of the checkpoint."""


class RefusedByWitnessError(Exception):
    """A witness has cosigned what this checkpoint does not continue."""


@dataclass(frozen=True)
class Witness:
    """Where it takes checkpoints, and the key of its cosignatures."""

    url: str
    key: VerifierKey

    @classmethod
    def parse_all(cls, text: str) -> "list[Witness]":
        """`<url> <verifier key>`, separated by commas. Raises ValueError."""
        found = []
        for entry in filter(None, map(str.strip, text.split(","))):
            url, _, key = entry.partition(" ")
            witness = cls(url.rstrip("/"), VerifierKey.parse(key))
            if not url.startswith(("https://", "http://")) or witness.key.kind != COSIGNATURE:
                raise ValueError("must be URLs of witnesses, each with the key of its cosignatures")
            found.append(witness)
        return found


@dataclass
class Witnesses:
    """The witnesses of one round of signing; `absent` ones have not answered in it."""

    all: Sequence[Witness]
    absent: set[str] = field(default_factory=set)

    async def cosign(self, signed: str, previous: int, proof: Proof) -> str:
        """The note with the cosignatures that came. `previous`: the size of the note before.

        Raises RefusedByWitnessError.
        """
        present = [each for each in self.all if each.url not in self.absent]
        if not present:
            return signed
        lines = ""
        async with httpx.AsyncClient(timeout=SECONDS, trust_env=False) as http:
            for witness in present:
                try:
                    answer = await self._ask(http, witness, signed, (previous, proof))
                    lines += note.good_lines(signed, answer, witness.key)
                except (httpx.HTTPError, httpx.InvalidURL, BadNoteError) as error:
                    self.absent.add(witness.url)
                    log.warning("witness_absent", witness=witness.key.name, error=repr(error))
        return signed + lines

    async def _ask(
        self, http: httpx.AsyncClient, witness: Witness, signed: str, old: tuple[int, Proof]
    ) -> str:
        """The answer to the second try at the latest: the first may tell what it saw last."""
        size, proof = old
        newest = note.parse(signed).size
        for _ in range(2):
            hashes = await proof(size)
            body = "".join(f"{base64.b64encode(each).decode()}\n" for each in hashes)
            status, text = await _post(http, witness.url, f"old {size}\n{body}\n{signed}")
            if status == httpx.codes.OK:
                return text
            if status == httpx.codes.UNPROCESSABLE_ENTITY:
                raise RefusedByWitnessError(f"{witness.key.name} saw another trail before")
            told = text.strip()
            if status != httpx.codes.CONFLICT or not (told.isascii() and told.isdigit()):
                break
            seen = int(told)
            if seen > newest or seen == size:
                message = f"{witness.key.name} has cosigned {seen} events that are not these"
                raise RefusedByWitnessError(message)
            size = seen
        raise BadNoteError(f"{witness.key.name} answered {status}")


async def _post(http: httpx.AsyncClient, url: str, body: str) -> tuple[int, str]:
    """Status and text; raises httpx.HTTPError."""
    async with http.stream("POST", f"{url}/add-checkpoint", content=body.encode()) as answer:
        data = b""
        async for block in answer.aiter_raw():
            data += block
            if len(data) > MAX_BYTES:
                raise httpx.DecodingError("the answer is too long")
        return answer.status_code, data.decode("utf-8", "replace")
