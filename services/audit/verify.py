"""Verifies a chain: from rows in the order of their sequence, or from an NDJSON export.

Pure, of constant memory, and the same for the service and for whoever holds an export. What has
been erased is no fault; what is there must match its commitment.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

import orjson

from audit import chain
from audit.chain import StoredEvent

_COLUMNS = tuple(each.name for each in fields(StoredEvent))


@dataclass(slots=True)
class ChainVerifier:
    """How far a chain has been verified. Begins at 0, or at a checkpoint that retention left."""

    sequence: int = 0
    digest: bytes | None = None
    first_broken: int | None = None

    def verify(self, events: Iterable[StoredEvent]) -> bool:
        """Continues with the next events; returns False at the first that is broken."""
        for event in events:
            if event.sequence != self.sequence + 1:
                return self._broken_at(self.sequence + 1)
            if event.digest != chain.digest(event, self.digest) or not matches_commitment(event):
                return self._broken_at(event.sequence)
            self.sequence, self.digest = event.sequence, event.digest
        return True

    def verify_end(self, sequence: int, digest: bytes | None) -> bool:
        """Whether the chain ends where its head says."""
        if (self.sequence, self.digest) == (sequence, digest):
            return True
        return self._broken_at(min(self.sequence + 1, sequence))

    def _broken_at(self, sequence: int) -> bool:
        self.first_broken = sequence
        return False


def matches_commitment(event: StoredEvent) -> bool:
    """Whether the personal parts, as far as they are there, are what the event is bound to."""
    if event.subject_changes is not None and (
        event.subject_salt is None
        or event.personal_changes != chain.bind_subject(event.subject_salt, event.subject_changes)
    ):
        return False
    if event.salt is None or event.personal_changes is None:
        shown = (event.ip_address, event.user_agent, chain.erasable_changes(event))
        return shown == (None, None, chain.EMPTY)
    if event.commitment is None:
        return False
    part = (event.personal_changes, event.ip_address, event.user_agent)
    return chain.commitment(event.salt, *part) == event.commitment


Fault = Literal["missing", "cut", "reordered", "rewritten"]


@dataclass(slots=True)
class Verdict:
    """How many events there are, the digest of the newest in hexadecimal, the first broken one.

    `first_broken` is the lowest sequence that is changed, missing or out of its place, `fault` says
    which; `oldest` and `newest` are the sequences with which the export begins and ends.
    """

    length: int = 0
    oldest: int = 0
    newest: int = 0
    head: str | None = None
    first_broken: int | None = None
    fault: Fault | None = None

    def broken_at(self, sequence: int, fault: Fault) -> None:
        self.first_broken = sequence
        if self.fault != "reordered":
            self.fault = fault


OnLeaf = Callable[[StoredEvent, bytes], None]
"""Gets an event and its canonical JSON: a leaf of the tree."""


def verify_export(
    lines: Iterable[bytes], before: bytes | None = None, on_leaf: OnLeaf | None = None
) -> Verdict:
    """Verifies a whole NDJSON export, newest event first as it was streamed.

    An export with filters has gaps: the first event that it lacks counts as broken.

    Each line has the digest that the one before it is recomputed from. `before` is the digest
    before the oldest event, where that is not the first of the log; without it, that one is only
    compared with the next. Raises ValueError or KeyError for what is no line of an export.
    """
    verdict, event = Verdict(), None
    for earlier in map(parse_line, lines):
        if event is None:
            verdict.head, verdict.newest = earlier.digest.hex(), earlier.sequence
        else:
            _check(verdict, event, (earlier.sequence, earlier.digest), on_leaf)
        verdict.length += 1
        event = earlier
        verdict.oldest = event.sequence
    if event is not None and (event.sequence == 1 or before is not None):
        previous = None if event.sequence == 1 else before
        _check(verdict, event, (event.sequence - 1, previous), on_leaf)
    elif event is not None and not matches_commitment(event):
        verdict.broken_at(event.sequence, "rewritten")
    return verdict


def _check(
    verdict: Verdict,
    event: StoredEvent,
    earlier: tuple[int, bytes | None],
    on_leaf: OnLeaf | None,
) -> None:
    """Whether the event follows the one of that sequence and digest."""
    sequence, digest = earlier
    leaf = chain.entry_json(event, digest)
    if event.sequence != sequence + 1:
        verdict.broken_at(sequence + 1, "missing" if sequence < event.sequence else "reordered")
    elif event.digest != hashlib.sha256(leaf).digest() or not matches_commitment(event):
        verdict.broken_at(event.sequence, "rewritten")
    if on_leaf is not None:
        on_leaf(event, leaf)


def parse_line(line: bytes) -> StoredEvent:
    """A line of an NDJSON export as the event that it was made from."""
    event: dict[str, Any] = orjson.loads(line)
    changes, names, seal = event["changes"], set(event["personal"]), event["seal"]
    plain = {name: change for name, change in changes.items() if name not in names}
    personal = {name: change for name, change in changes.items() if name in names}
    fields_changed = chain.canonical_json(personal).decode()
    subject, subject_salt = seal.get("subject"), seal.get("subject_salt")
    columns = event | {
        "created_at": datetime.fromisoformat(event["created_at"]),
        "changes": chain.canonical_json(plain).decode(),
        "personal_changes": fields_changed if subject is None else chain.to_binding(subject),
        # Fields without a salt are shown, so they have to be proven as well.
        "subject_changes": fields_changed if subject and (subject_salt or personal) else None,
        "subject_salt": _bytes(subject_salt),
        "salt": _bytes(seal["salt"]),
        "commitment": _bytes(seal["commitment"]),
        "digest": bytes.fromhex(seal["digest"]),
    }
    return StoredEvent(**{name: columns[name] for name in _COLUMNS})


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)
