"""A trail as a Merkle tree: the leaf of sequence n has the index n - 1.

Proofs are made from tiles of 256 hashes (c2sp.org/tlog-tiles), a handful at any size: complete ones
are stored; of the last of each level the hashes are those of the events, or the roots below.
"""

import asyncio
from collections.abc import Iterable, Sequence

from chassis.database import Connection
from chassis.statements import Statement
from sqlalchemy import bindparam, func, literal_column, select

from audit import merkle
from audit.merkle import HASH_BYTES, Range, Subtree
from audit.tables import TILES

_LEVEL_BITS = 8
TILE = 1 << _LEVEL_BITS
MAX_APPENDED = 64
"""Tiles in one transaction: about a tenth of a second."""

APPEND_TILES = Statement(select(func.append_tiles(bindparam("tenant_id"), bindparam("at_most"))))
LEAF_HASHES = Statement(
    select(func.leaf_hashes(bindparam("tenant_id"), bindparam("after"), bindparam("until")))
)
_mine = TILES.c.tenant_id == bindparam("tenant_id")
GET_TILE = Statement(
    select(TILES.c.hashes).where(
        _mine, TILES.c.level == bindparam("level"), TILES.c.index == bindparam("index")
    )
)
_roots = (
    select(TILES.c.root, TILES.c.index)
    .where(
        _mine,
        TILES.c.level == bindparam("level"),
        TILES.c.index >= bindparam("start"),
        TILES.c.index < bindparam("end"),
    )
    .order_by(TILES.c.index)
    .subquery("roots")
)
GET_ROOTS = Statement(
    select(func.string_agg(_roots.c.root, literal_column("''::bytea"))).select_from(_roots)
)


class MissingHashesError(Exception):
    """Of a part of the tree the hashes are missing, as events are; `sequence` begins it."""

    def __init__(self, sequence: int) -> None:
        super().__init__(f"events from {sequence} on are missing")
        self.sequence = sequence


class Tree:
    """The tree of a tenant's first `size` events, on a connection."""

    def __init__(self, conn: Connection, tenant_id: str, size: int) -> None:
        self._conn = conn
        self._tenant_id = tenant_id
        self._size = size
        self._tiles: dict[tuple[int, int], bytes] = {}

    async def root(self) -> bytes:
        """Raises MissingHashesError."""
        return (await self.roots([(0, self._size)]))[0]

    async def roots(self, ranges: Sequence[Range]) -> list[bytes]:
        """The root of each range of leaves that a proof names. Raises MissingHashesError."""
        parts = [merkle.subtrees(leaves) for leaves in ranges]
        await self._read({_place(each)[:2] for part in parts for each in part})
        return [merkle.join_roots([self._root(each) for each in part]) for part in parts]

    async def leaf_hash(self, index: int) -> bytes:
        """Raises MissingHashesError."""
        return (await self.roots([(index, index + 1)]))[0]

    def _root(self, subtree: Subtree) -> bytes:
        level, index, start, count = _place(subtree)
        hashes = self._tiles[level, index]
        parts = [hashes[n * HASH_BYTES : (n + 1) * HASH_BYTES] for n in range(start, start + count)]
        return merkle.perfect_root(parts)

    async def _read(self, tiles: Iterable[tuple[int, int]]) -> None:
        for level, index in sorted(set(tiles) - self._tiles.keys()):
            count = min(TILE, (self._size >> _LEVEL_BITS * level) - index * TILE)
            hashes = await self._hashes(level, index, count)
            if hashes is None or len(hashes) != count * HASH_BYTES:
                there = index * TILE + len(hashes or b"") // HASH_BYTES
                raise MissingHashesError((there << _LEVEL_BITS * level) + 1)
            self._tiles[level, index] = hashes
            await asyncio.sleep(0)

    async def _hashes(self, level: int, index: int, count: int) -> bytes | None:
        start = index * TILE
        mine = {"tenant_id": self._tenant_id}
        found: bytes | None = await GET_TILE.fetch_value(
            self._conn, **mine, level=level, index=index
        )
        if found is not None:
            found = found[: count * HASH_BYTES]
        elif level:
            found = await GET_ROOTS.fetch_value(
                self._conn, **mine, level=level - 1, start=start, end=start + count
            )
        else:
            found = await LEAF_HASHES.fetch_value(
                self._conn, **mine, after=start, until=start + count
            )
        return found


def _place(subtree: Subtree) -> tuple[int, int, int, int]:
    """Level and index of the tile that has it, and which of its hashes it is over."""
    height, index = subtree
    level, inner = divmod(height, _LEVEL_BITS)
    first = index << inner
    return level, first >> _LEVEL_BITS, first % TILE, 1 << inner
