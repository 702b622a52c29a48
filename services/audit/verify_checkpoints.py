"""Compares an export with signed checkpoints, also with those that stand in the export itself.

Pure, and needs 32 bytes of memory for 256 events: leaves come newest first, as an export has them.
What is proven is what a checkpoint matches. The first event in doubt is the one after that.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import orjson
from contracts.audit import AuditCheckpoint

from audit import merkle, note
from audit.chain import StoredEvent
from audit.merkle import Frontier
from audit.note import BadNoteError, Checkpoint, VerifierKey

TILE = 256
MANY = 10_000
"""Checkpoints."""


_Piece = tuple[bytes, int]
"""The root and the height of a perfect subtree."""


@dataclass(frozen=True)
class Comparison:
    """`proven`: the size of the largest checkpoint that the events match, 0 without one.

    `contradicted`: the size of the smallest checkpoint that they do not match, if there is one.
    `complete`: how many events from the first on there are.
    """

    proven: int
    contradicted: int | None
    complete: int


class CheckpointVerifier:
    """Takes the leaves of an export, newest first, then compares."""

    def __init__(
        self,
        checkpoints: Iterable[Checkpoint],
        keys: Iterable[VerifierKey],
        before: Frontier | None = None,
    ) -> None:
        """`before`: what the tree has before the oldest event, where that is not the first."""
        self._keys = list(keys)
        self._due: dict[int, list[Checkpoint]] = {}
        for each in checkpoints:
            self._due.setdefault(each.size, []).append(each)
        self._told: set[int] = set()
        self._leaves: dict[int, dict[int, bytes]] = {}
        self._pieces: dict[int, list[_Piece]] = {}
        self._before = before or Frontier()

    def add(self, event: StoredEvent, leaf: bytes) -> None:
        """The next older event, and its canonical JSON."""
        if event.action == AuditCheckpoint.type:
            self._hear(event)
        tile, place = divmod(event.sequence - 1, TILE)
        leaves = self._leaves.setdefault(tile, {})
        leaves[place] = merkle.leaf_hash(leaf)
        if len(leaves) == TILE:
            self._pieces[tile] = self._join(tile, self._leaves.pop(tile))

    def compare(self) -> Comparison:
        """What the events do not reach is contradicted: they were cut."""
        frontier = Frontier(self._before.size, self._before.roots)
        due, wrong, proven = dict(self._due), list[int](), 0
        for root, height in self._row(frontier.size):
            frontier.append(root, height)
            for each in due.pop(frontier.size, ()):
                if each.root != frontier.root():
                    wrong.append(each.size)
                elif not wrong:
                    proven = each.size
        wrong += [size for size in due if size > frontier.size]
        return Comparison(proven, min(wrong, default=None), frontier.size)

    def _hear(self, event: StoredEvent) -> None:
        """A checkpoint in the trail, of many one for each tile; one not of ours is no evidence."""
        shown: Any = orjson.loads(event.changes).get("checkpoint", {}).get("to")
        try:
            found = note.verify(str(shown), self._keys)
        except BadNoteError:
            return
        tile = found.size // TILE
        if found.size < event.sequence and (len(self._due) < MANY or tile not in self._told):
            self._told.add(tile)
            self._due.setdefault(found.size, []).append(found)

    def _join(self, tile: int, leaves: dict[int, bytes]) -> list[_Piece]:
        """Few pieces, but an end where a checkpoint has one."""
        sizes = range(tile * TILE, (tile + 1) * TILE)
        ends = sorted({*(size % TILE for size in sizes if size in self._due), 0, TILE})
        return [
            (merkle.perfect_root([leaves[n] for n in range(start, start + (1 << height))]), height)
            for first, end in pairwise(ends)
            for start, height in _aligned(first, end)
        ]

    def _row(self, size: int) -> Iterator[_Piece]:
        """What follows the first `size` leaves, up to the first that is missing."""
        while True:
            tile, place = divmod(size, TILE)
            if tile in self._pieces and not place:
                yield from self._pieces[tile]
                size += TILE
            elif place in (leaves := self._leaves.get(tile, {})):
                yield leaves[place], 0
                size += 1
            else:
                return


def _aligned(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Start and height of the perfect subtrees that cover these leaves."""
    while start < end:
        height = (end - start).bit_length() - 1
        if start:
            height = min(height, (start & -start).bit_length() - 1)
        yield start, height
        start += 1 << height
