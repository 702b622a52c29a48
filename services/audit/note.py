"""Checkpoints as C2SP writes them: a tlog-checkpoint in a signed note, by Ed25519.

https://c2sp.org/tlog-checkpoint https://c2sp.org/signed-note
Pure. Each tenant has a key of its own, derived (HKDF, RFC 5869) from a seed that no database holds.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

ED25519, COSIGNATURE = 1, 4
"""Kinds of signature. A cosignature has a time before its 64 bytes (c2sp.org/tlog-cosignature)."""
_PREFIX = "\N{EM DASH} "
MAX_BYTES = 100_000


class BadNoteError(ValueError):
    """What was given is no checkpoint, no verifier key, or has no good signature."""


@dataclass(frozen=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{_base64(self.root)}\n"


@dataclass(frozen=True)
class VerifierKey:
    """`<name>+<key id in hexadecimal>+<base64 of kind and public key>`."""

    name: str
    id: bytes
    kind: int
    public: bytes

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Raises BadNoteError."""
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        data = _decode(encoded)
        found = cls(name, key_id_of(name, data), data[0] if data else 0, data[1:])
        if not name or found.id.hex() != key_id or len(found.public) != 32:
            raise BadNoteError(f"{text.strip()} is no verifier key of Ed25519")
        if found.kind not in (ED25519, COSIGNATURE):
            raise BadNoteError(f"{text.strip()} is no verifier key of Ed25519")
        return found

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_base64(bytes([self.kind]) + self.public)}"

    def verifies(self, text: str, signature: bytes) -> bool:
        message = text.encode()
        if self.kind == COSIGNATURE:
            time, signature = signature[:8], signature[8:]
            message = f"cosignature/v1\ntime {int.from_bytes(time, 'big')}\n".encode() + message
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True


class Signer:
    """A private key and its name."""

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        self._private = private
        public = private.public_key().public_bytes_raw()
        key_id = key_id_of(name, bytes([ED25519]) + public)
        self.key = VerifierKey(name, key_id, ED25519, public)

    @classmethod
    def derive(cls, seed: bytes, name: str, tenant_id: str) -> "Signer":
        info = b"tenantry audit checkpoint " + tenant_id.encode()
        derived = HKDF(hashes.SHA256(), 32, salt=None, info=info).derive(seed)
        return cls(name, Ed25519PrivateKey.from_private_bytes(derived))

    def sign(self, text: str) -> str:
        """The line of the signature."""
        return signature_line(self.key, self._private.sign(text.encode()))


def key_id_of(name: str, data: bytes) -> bytes:
    """`data` is the kind and the public key."""
    return hashlib.sha256(name.encode() + b"\n" + data).digest()[:4]


def signature_line(key: VerifierKey, signature: bytes) -> str:
    return f"{_PREFIX}{key.name} {_base64(key.id + signature)}\n"


def sign(checkpoint: Checkpoint, signers: Iterable[Signer]) -> str:
    """The note, with a signature of each, so that who knows an older key can still verify it."""
    text = checkpoint.text()
    return text + "\n" + "".join(signer.sign(text) for signer in signers)


def parse(note: str) -> Checkpoint:
    """What a note says, not verified. Raises BadNoteError."""
    text, _ = _split(note)
    origin, size, root = text.split("\n")[:3] if text.count("\n") >= 3 else ("", "", "")
    if not origin or not (size.isascii() and size.isdigit()) or str(int(size)) != size:
        raise BadNoteError("it is no checkpoint of a transparency log (c2sp.org/tlog-checkpoint)")
    decoded = _decode(root)
    if len(decoded) != 32:
        raise BadNoteError("its root is no SHA-256")
    return Checkpoint(origin, int(size), decoded)


def verify(note: str, keys: Iterable[VerifierKey]) -> Checkpoint:
    """The checkpoint, if one of the keys has signed it. Raises BadNoteError."""
    text, signatures = _split(note)
    known = {(key.name, key.id): key for key in keys}
    good = 0
    for name, data in signatures:
        key = known.get((name, data[:4]))
        if key is not None:
            if not key.verifies(text, data[4:]):
                raise BadNoteError(f"the signature of {name} is wrong: somebody else wrote it")
            good += 1
    if not good:
        raise BadNoteError("no signature of it is by a key that was given")
    return parse(note)


def good_lines(note: str, lines: str, key: VerifierKey) -> str:
    """Of more signature lines for a note those that the key has made. Raises BadNoteError."""
    text, _ = _split(note)
    _, signatures = _split(note + lines)
    found = [data for name, data in signatures if (name, data[:4]) == (key.name, key.id)]
    good = [data[4:] for data in found if key.verifies(text, data[4:])]
    if not good:
        raise BadNoteError(f"{key.name} has not signed it")
    return signature_line(key, good[0])


def _split(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """The signed text, and name and data of each signature."""
    text, separator, lines = note.rpartition("\n\n")
    if not separator or not lines.endswith("\n") or len(note) > MAX_BYTES:
        raise BadNoteError("it is no signed note (c2sp.org/signed-note)")
    signatures = []
    for line in lines.removesuffix("\n").split("\n"):
        name, _, encoded = line.removeprefix(_PREFIX).partition(" ")
        data = _decode(encoded)
        if not line.startswith(_PREFIX) or not name or len(data) < 5:
            raise BadNoteError("it is no signed note (c2sp.org/signed-note)")
        signatures.append((name, data))
    return text + "\n", signatures


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadNoteError("it is no base64") from None
