"""Where a resource is on the console, and the paths from there."""

from dataclasses import dataclass

from console.resources import Resource


@dataclass(frozen=True)
class Place:
    """Where a resource is: its kind, the kinds and ids above it, and its own id, if it has one."""

    resource: Resource
    parents: tuple[tuple[Resource, str], ...]
    id: str | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(each for _, each in self.parents)

    @property
    def list_path(self) -> str:
        above = "".join(f"/{kind.path}/{each}" for kind, each in self.parents)
        return f"{above}/{self.resource.path}"

    @property
    def above(self) -> list[tuple[str, str]]:
        """Titles and paths of what is above, the top first; the list of this kind is the last."""
        found, path = [], ""
        for kind, id in self.parents:
            path += f"/{kind.path}"
            found.append((kind.title, path))
            path += f"/{id}"
            found.append((id, path))
        return [*found, (self.resource.title, self.list_path)]

    def path_of(self, id: str) -> str:
        return f"{self.list_path}/{id}"

    @property
    def path(self) -> str:
        assert self.id is not None
        return self.path_of(self.id)

    @property
    def own_ids(self) -> tuple[str, ...]:
        assert self.id is not None
        return (*self.ids, self.id)
