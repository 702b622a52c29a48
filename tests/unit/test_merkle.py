"""RFC 6962: roots and proofs against its own recursive definitions."""

import hashlib

import pytest
from audit import merkle

LEAVES = [merkle.leaf_hash(b"%d" % number) for number in range(70)]


def mth(hashes: list[bytes]) -> bytes:
    """Section 2.1."""
    if len(hashes) < 2:
        return hashes[0] if hashes else hashlib.sha256(b"").digest()
    k = split(len(hashes))
    return merkle.node_hash(mth(hashes[:k]), mth(hashes[k:]))


def split(size: int) -> int:
    k = 1
    while k * 2 < size:
        k *= 2
    return k


def path(m: int, hashes: list[bytes]) -> list[bytes]:
    """Section 2.1.1."""
    if len(hashes) == 1:
        return []
    k = split(len(hashes))
    if m < k:
        return [*path(m, hashes[:k]), mth(hashes[k:])]
    return [*path(m - k, hashes[k:]), mth(hashes[:k])]


def subproof(m: int, hashes: list[bytes], whole: bool) -> list[bytes]:
    """Section 2.1.2."""
    if m == len(hashes):
        return [] if whole else [mth(hashes)]
    k = split(len(hashes))
    if m <= k:
        return [*subproof(m, hashes[:k], whole), mth(hashes[k:])]
    return [*subproof(m - k, hashes[k:], False), mth(hashes[:k])]


def root(start: int, end: int) -> bytes:
    parts = [
        merkle.perfect_root(LEAVES[index << height : (index + 1) << height])
        for height, index in merkle.subtrees((start, end))
    ]
    return merkle.join_roots(parts)


@pytest.mark.parametrize("size", [*range(1, 34), 63, 64, 65, 70])
def test_roots_and_proofs_are_those_of_the_rfc(size: int) -> None:
    hashes = LEAVES[:size]
    frontier = merkle.Frontier()
    for each in hashes:
        frontier.append(each)
    assert root(0, size) == frontier.root() == mth(hashes)
    for number in range(size):
        found = [root(*each) for each in merkle.inclusion_ranges(number, size)]
        assert found == path(number, hashes)
        assert merkle.left_of(number, size, found) == frontier_of(number).roots
        assert [root(*each) for each in merkle.consistency_ranges(number + 1, size)] == subproof(
            number + 1, hashes, True
        )


def frontier_of(size: int) -> merkle.Frontier:
    frontier = merkle.Frontier()
    for each in LEAVES[:size]:
        frontier.append(each)
    return frontier


def test_a_frontier_takes_whole_subtrees() -> None:
    frontier = merkle.Frontier()
    for number in range(4):
        frontier.append(root(number * 16, number * 16 + 16), height=4)
    frontier.append(LEAVES[64])
    assert frontier.root() == root(0, 65)


def test_an_empty_tree_has_the_hash_of_nothing() -> None:
    assert merkle.join_roots([]) == merkle.Frontier().root() == mth([])
    assert merkle.consistency_ranges(0, 5) == merkle.consistency_ranges(5, 5) == []
