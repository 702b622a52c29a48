"""Verifying a chain: from rows in the order of their sequence, or from an NDJSON export.

Pure, of constant memory, and the same for the service and for whoever holds an export. What has
been erased is no fault; what is there must match its commitment.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from audit import chain


@dataclass(slots=True)
class Chain:
    """How far a chain has been followed. Begins at 0, or at a checkpoint that retention left."""

    sequence: int = 0
    digest: bytes | None = None
    first_broken: int | None = None

    def follow(self, rows: Iterable[Mapping[str, Any]]) -> bool:
        """Goes on along the rows; answers False, and says where, at the first that is broken.

        A row is the event's columns with `salt`, `ip_address`, `user_agent` and
        `personal_changes` of its personal part, `salt` null when that is gone.
        """
        for row in rows:
            if row["sequence"] != self.sequence + 1:
                return self.breaks(self.sequence + 1)
            if row["digest"] != chain.digest(row, self.digest) or not opens(row):
                return self.breaks(row["sequence"])
            self.sequence, self.digest = row["sequence"], row["digest"]
        return True

    def ends(self, sequence: int, digest: bytes | None) -> bool:
        """Whether the chain ends where its head says."""
        if (self.sequence, self.digest) == (sequence, digest):
            return True
        return self.breaks(min(self.sequence + 1, sequence))

    def breaks(self, sequence: int) -> bool:
        self.first_broken = sequence
        return False


def opens(row: Mapping[str, Any]) -> bool:
    """Whether the personal part, as far as it is there, is what the event is bound to."""
    if row["salt"] is None:
        return True
    if row["commitment"] is None:
        return False
    part = (row["personal_changes"], row["ip_address"], row["user_agent"])
    return chain.commitment(row["salt"], *part) == row["commitment"]  # type: ignore[no-any-return]


@dataclass(slots=True)
class Verdict:
    """Of an export: how many events it has, the digest of the newest, the lowest broken one."""

    length: int = 0
    head: str | None = None
    first_broken: int | None = None

    def judge(self, row: Mapping[str, Any], before: int, previous: bytes | None) -> None:
        """Whether the row follows on the event of that sequence and digest."""
        if row["sequence"] != before + 1:
            self.first_broken = before + 1
        elif row["digest"] != chain.digest(row, previous) or not opens(row):
            self.first_broken = row["sequence"]


def verify_export(lines: Iterable[bytes], checkpoint: bytes | None = None) -> Verdict:
    """Checks a whole NDJSON export, newest first as it was streamed.

    Each line has the digest that the one before it is recomputed from. `checkpoint` is the digest
    before the oldest one, where that is not the first of the log; without it, that one is only
    held against the next. Raises ValueError or KeyError for what is no line of an export.
    """
    verdict, row = Verdict(), None
    for earlier in map(read, lines):
        if row is None:
            verdict.head = earlier["digest"].hex()
        else:
            verdict.judge(row, earlier["sequence"], earlier["digest"])
        verdict.length += 1
        row = earlier
    if row is not None and (row["sequence"] == 1 or checkpoint is not None):
        verdict.judge(row, row["sequence"] - 1, None if row["sequence"] == 1 else checkpoint)
    elif row is not None and not opens(row):
        verdict.first_broken = row["sequence"]
    return verdict


def read(line: bytes) -> dict[str, Any]:
    """A line of an NDJSON export as the row that it was made from."""
    event: dict[str, Any] = orjson.loads(line)
    changes, names, seal = event["changes"], set(event["personal"]), event["seal"]
    plain = {name: change for name, change in changes.items() if name not in names}
    personal = {name: change for name, change in changes.items() if name in names}
    return event | {
        "created_at": datetime.fromisoformat(event["created_at"]),
        "changes": chain.canonical(plain).decode(),
        "personal_changes": chain.canonical(personal).decode(),
        "salt": _bytes(seal["salt"]),
        "commitment": _bytes(seal["commitment"]),
        "digest": bytes.fromhex(seal["digest"]),
    }


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)
