"""Paths are matched by their segments, literal ones first."""

import pytest
from edge.matching import Paths
from edge.table import by_path

PATHS = Paths(
    {
        "/v1/projects": "all",
        "/v1/projects/schema": "schema",
        "/v1/projects/{id}": "one",
        "/v1/projects/{id}/keys/{key_id}": "key",
        "/v1/projects/schema/export": "export",
    }
)


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v1/projects", ("all", {})),
        ("/v1/projects/schema", ("schema", {})),
        ("/v1/projects/schema/export", ("export", {})),
        ("/v1/projects/p1", ("one", {"id": "p1"})),
        ("/v1/projects/p1/keys/k1", ("key", {"id": "p1", "key_id": "k1"})),
        ("/v1/projects/schema/keys/k1", ("key", {"id": "schema", "key_id": "k1"})),
    ],
)
def test_a_path_is_found_with_its_identifiers(path, meant):
    assert PATHS.find(path) == meant


@pytest.mark.parametrize(
    "path",
    ["", "/", "/v1", "/v1/", "/v1/projects/", "/v1/projects//keys/k1", "/v1/projects/p1/keys",
     "/v1/projects/p1/keys/k1/more", "v1/projects", "//v1/projects"],
)  # fmt: skip
def test_nothing_else_is_found(path):
    assert PATHS.find(path) is None


def test_every_path_of_the_table_is_found_as_itself():
    paths = Paths({path: path for path in by_path()})
    for path in by_path():
        found = paths.find(path)
        assert found is not None
        assert found[0] == path
        assert all(value == f"{{{name}}}" for name, value in found[1].items())
