"""Where a resource is on the console, and the paths from there."""

from dataclasses import dataclass

from starlette.requests import Request

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

    @property
    def back(self) -> str:
        """Where cancelling leads to: the page of the one, else the list."""
        return self.path if self.id and self.resource.get else self.list_path


def place_of_request(request: Request, resource: Resource, parents: tuple[Resource, ...]) -> Place:
    """Where a request is: its path's parameters are `id0`, `id1` and so on, and `id`."""
    ids = [request.path_params[f"id{number}"] for number in range(len(parents))]
    return Place(resource, tuple(zip(parents, ids, strict=True)), request.path_params.get("id"))


def route_of(resource: Resource, parents: tuple[Resource, ...]) -> str:
    """The path of the list, with these parameters."""
    above = "".join(f"/{kind.path}/{{id{n}}}" for n, kind in enumerate(parents))
    return f"{above}/{resource.path}"
