"""JSON Merge Patch and versions."""

import pytest
from chassis.merge_patch import apply_patch, check_version
from chassis.rows import Row
from contracts.context import Context
from contracts.json_objects import merge
from contracts.problems import Problem

# RFC 7396, appendix A.
CASES = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "result"), CASES)
def test_a_merge_patch_follows_rfc_7396(target: object, patch: object, result: object) -> None:
    assert merge(target, patch) == result


@pytest.mark.parametrize("tag", ['"3"', "*", '"1", "3"', '"3.0badcafe"'])
def test_the_version_that_was_read_may_change(tag: str) -> None:
    check_version(Context(request_id="r", traceparent="t", if_match=tag), 3)


@pytest.mark.parametrize("tag", ['"2"', "3", 'W/"3"', "", '"30"'])
def test_another_version_is_a_mismatch(tag: str) -> None:
    with pytest.raises(Problem) as refusal:
        check_version(Context(request_id="r", traceparent="t", if_match=tag), 3)
    assert refusal.value.status == 412


@pytest.mark.parametrize(
    ("before", "patch", "changed"),
    [('{"a":1}', {"a": True}, True), ('{"a":1,"b":2}', {"b": 2, "a": 1}, False)],
)
def test_a_change_is_what_reads_differently_as_json(
    before: str, patch: dict[str, object], changed: bool
) -> None:
    _, changes = apply_patch(Row({"metadata": before}), {"metadata": patch}, ("metadata",))
    assert bool(changes) is changed
