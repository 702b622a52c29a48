"""Which path of the table a request means, found segment by segment: the same cost for all.

A literal segment goes before an identifier. Pure.
"""

from collections.abc import Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class _Node(Generic[T]):
    """What may follow here: literal segments, or any one; and what a path that ends here means."""

    __slots__ = ("any", "literals", "names", "value")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[T]] = {}
        self.any: _Node[T] | None = None
        self.names: list[str] = []
        self.value: T | None = None


class Paths(Generic[T]):
    """Values by path; `{name}` stands for one segment that is not empty."""

    def __init__(self, paths: Mapping[str, T]) -> None:
        self._root = _Node[T]()
        for path, value in paths.items():
            node, names = self._root, []
            for segment in path.split("/"):
                if segment.startswith("{"):
                    names.append(segment[1:-1])
                    node.any = node.any or _Node()
                    node = node.any
                else:
                    node = node.literals.setdefault(segment, _Node())
            node.value, node.names = value, names

    def find(self, path: str) -> tuple[T, dict[str, str]] | None:
        """The value and what stands for each name; None when no path is meant."""
        given: list[str] = []
        node = _walk(self._root, path.split("/"), 0, given)
        if node is None or node.value is None:
            return None
        return node.value, dict(zip(node.names, given, strict=True))


def _walk(node: _Node[T], segments: list[str], at: int, given: list[str]) -> _Node[T] | None:
    if at == len(segments):
        return None if node.value is None else node
    segment = segments[at]
    if segment in node.literals:
        found = _walk(node.literals[segment], segments, at + 1, given)
        if found is not None:
            return found
    if node.any is None or not segment:
        return None
    given.append(segment)
    found = _walk(node.any, segments, at + 1, given)
    if found is None:
        given.pop()
    return found
