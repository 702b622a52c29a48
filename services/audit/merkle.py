"""Merkle trees as RFC 6962 hashes them (section 2.1): which subtrees a proof has, and their roots.

Pure. A perfect subtree of height h and index i is over the leaves [i * 2**h, (i + 1) * 2**h); any
other range of leaves that a proof names is a row of perfect ones, of falling height.
"""

import hashlib
from collections.abc import Iterable, Sequence
from functools import reduce

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

Range = tuple[int, int]
"""Leaves from the first number to before the second."""
Subtree = tuple[int, int]
"""Height and index."""


def leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of hashes."""
    while len(hashes) > 1:
        hashes = [node_hash(*hashes[n : n + 2]) for n in range(0, len(hashes), 2)]
    return hashes[0]


def subtrees(leaves: Range) -> list[Subtree]:
    """The perfect subtrees of a range that begins where a tree or one of its halves does."""
    start, end = leaves
    found = []
    while start < end:
        height = (end - start).bit_length() - 1
        found.append((height, start >> height))
        start += 1 << height
    return found


def join_roots(roots: Sequence[bytes]) -> bytes:
    """The root over a row of perfect subtrees."""
    if not roots:
        return EMPTY_ROOT
    return reduce(lambda right, left: node_hash(left, right), reversed(roots))


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """What the audit path of a leaf consists of (section 2.1.1), from the leaf to the root."""
    ranges: list[Range] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(first: int, size: int) -> list[Range]:
    """What a consistency proof between two sizes of a tree consists of (section 2.1.2)."""
    ranges: list[Range] = []
    start, end = 0, size
    if not 0 < first < size:
        return []
    while first < end:
        middle = start + _split(end - start)
        if first <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    if start:
        ranges.append((start, end))
    return ranges[::-1]


def _split(size: int) -> int:
    """The largest power of two below it."""
    return 1 << ((size - 1).bit_length() - 1)


def left_of(index: int, size: int, hashes: Sequence[bytes]) -> list[bytes]:
    """Of an audit path, the roots of the perfect subtrees before the leaf, from left to right.

    Raises ValueError for a path of another length.
    """
    ranges = inclusion_ranges(index, size)
    if len(ranges) != len(hashes):
        raise ValueError("the path does not belong to that leaf")
    pairs = zip(ranges, hashes, strict=True)
    return [root for (start, _), root in pairs if start < index][::-1]


class Frontier:
    """The roots of the perfect subtrees over all leaves so far: what the root is made of."""

    def __init__(self, size: int = 0, roots: Iterable[bytes] = ()) -> None:
        self.size = size
        self.roots = list(roots)

    def append(self, root: bytes, height: int = 0) -> None:
        """Appends a perfect subtree, for which the size has to be a multiple of its own."""
        count = self.size >> height
        self.size += 1 << height
        while count & 1:
            root = node_hash(self.roots.pop(), root)
            count >>= 1
        self.roots.append(root)

    def root(self) -> bytes:
        return join_roots(self.roots)
