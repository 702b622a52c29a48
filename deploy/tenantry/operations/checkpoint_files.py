"""What an auditor has kept: checkpoints, the keys that verify them, a proof of inclusion.

Nothing of it comes from the installation that is verified.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from audit import merkle, note
from audit.merkle import Frontier
from audit.note import BadNoteError, Checkpoint, VerifierKey
from audit.verify_checkpoints import CheckpointVerifier

from tenantry.errors import Misconfigured
from tenantry.installation import read_text


@dataclass(frozen=True)
class Evidence:
    """`inclusion` proves the oldest event of an export that does not begin with the first."""

    checkpoints: Sequence[Checkpoint]
    keys: Sequence[VerifierKey]
    inclusion: "Inclusion | None"

    def verifier(self) -> CheckpointVerifier:
        before = None if self.inclusion is None else self.inclusion.before
        return CheckpointVerifier(self.checkpoints, self.keys, before)


@dataclass(frozen=True)
class Inclusion:
    """The tree before the event of that index, and the digest that its leaf continues."""

    index: int
    before: Frontier
    previous: bytes | None


def read_evidence(
    checkpoints: Sequence[Path], keys: Sequence[str], inclusion: Path | None
) -> Evidence:
    """Raises Misconfigured for what is no checkpoint, or not signed by one of the keys."""
    if not keys:
        raise Misconfigured(
            "a checkpoint proves nothing without the key that verifies it",
            "Give it with --key, as you kept it: the line, or a file of GET "
            "/v1/admin/audit/checkpoint-key.",
        )
    known = [key for given in keys for key in _read_keys(given)]
    found = [_read_checkpoint(path, known) for path in checkpoints]
    if len({each.origin for each in found}) > 1:
        raise Misconfigured(
            "the checkpoints are of several trails", "Give those of one tenant at a time."
        )
    return Evidence(found, known, None if inclusion is None else _read_inclusion(inclusion))


def _read_keys(given: str) -> list[VerifierKey]:
    is_key = "+" in given and not Path(given).is_file()
    text = given if is_key else _read(Path(given))
    try:
        return [VerifierKey.parse(line) for line in text.splitlines() if line.strip()]
    except BadNoteError as error:
        raise Misconfigured(
            str(error), "Give a key as /v1/admin/audit/checkpoint-key shows it."
        ) from None


def _read_checkpoint(path: Path, keys: Sequence[VerifierKey]) -> Checkpoint:
    try:
        return note.verify(_read(path), keys)
    except BadNoteError as error:
        raise Misconfigured(
            f"{path} is no checkpoint that a given key has signed: {error}",
            "Give the file as it was received, and with --key the key of that trail.",
        ) from None


def _read_inclusion(path: Path) -> Inclusion:
    try:
        proof = orjson.loads(_read(path))
        hashes = [base64.b64decode(each) for each in proof["hashes"]]
        previous = orjson.loads(base64.b64decode(proof["leaf"]))["previous"]
        roots = merkle.left_of(proof["index"], proof["size"], hashes)
    except (ValueError, KeyError, TypeError):
        raise Misconfigured(
            f"{path} is no proof of inclusion",
            "Save what GET /v1/admin/audit/{event_id}/inclusion answers for the oldest event.",
        ) from None
    before = Frontier(proof["index"], roots)
    return Inclusion(proof["index"], before, None if previous is None else bytes.fromhex(previous))


def _read(path: Path) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise Misconfigured(
            f"{path} cannot be read: {error.strerror}", "Name a file that you may read."
        ) from None
