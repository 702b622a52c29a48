"""Every parser of ours on whatever comes: it keeps a value in one normal form or refuses it.

Pure: the refusal is the one that becomes a 4xx; any other exception would have been a 5xx.
"""

import ipaddress
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from chassis.cursors import decode_cursor, encode_cursor
from chassis.merge_patch import apply_patch, encoded_object
from chassis.rows import Row
from contracts import fields, ids, origins, secrets
from contracts.catalogue import EVENT_TYPES
from contracts.events import matches
from contracts.json_objects import METADATA_BYTES, format_double, merge
from contracts.problems import Problem
from contracts.users import CreateUser, UpdateUser
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from support.figures import FIGURES

REFUSALS = (PydanticCustomError, ValidationError, Problem)
EXAMPLES = settings(max_examples=400, deadline=None)

# What JSON can carry to us: any text but lone surrogates, which the JSON parser refuses before.
text = st.text(st.characters(exclude_categories=("Cs",)), max_size=80)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
urls = st.builds(
    "{}{}{}{}{}{}".format,
    st.sampled_from(["https://", "http://", "HTTPS://", "com.acme.app:/", "javascript:", "//", ""]),
    st.sampled_from(["", "user@", "a:b@", "*.", "%00", "\\", "[", "xn--"]),
    st.sampled_from(
        ["acme.com", "localhost", "127.0.0.1", "[::1]", "::1", "ACME.com.", "1.2", "a_b"]
    )
    | text,
    st.sampled_from(["", ":", ":443", ":80", ":0", ":65536", ":-1", ":٣", ":8443"]),
    st.sampled_from(["", "/", "/cb", "/../x", "//evil.com", "/\t", "/%2e%2e"]),
    st.sampled_from(["", "?x=1", "#f", "?", "#"]) | text,
)


def kept(parse: Callable[[Any], Any], value: Any) -> Any:
    """What the parser keeps, or None for a refusal."""
    FIGURES["fuzz examples, parsers"] += 1
    try:
        return parse(value)
    except REFUSALS:
        return None


@EXAMPLES
@given(text | urls)
def test_an_origin_is_in_normal_form_and_nothing_but_an_origin(value: str) -> None:
    origin = kept(origins.normal_origin, value)
    if origin is None:
        return
    parts = urlsplit(origin)
    assert origins.normal_origin(origin) == origin
    assert origin == f"{parts.scheme}://{parts.netloc}" == origin.lower()
    assert parts.username is None
    assert parts.scheme == "https" or parts.hostname == "localhost" or _is_loopback(parts.hostname)


def _is_loopback(host: str | None) -> bool:
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return (host or "").endswith(".localhost")


@EXAMPLES
@given(text | urls)
def test_a_redirect_is_in_normal_form_and_runs_nothing(value: str) -> None:
    redirect = kept(origins.normal_redirect, value)
    if redirect is None:
        return
    assert origins.normal_redirect(redirect) == redirect
    parts = urlsplit(redirect)
    assert parts.scheme in ("http", "https") or "." in parts.scheme
    assert parts.username is None
    assert set("#* \\").isdisjoint(redirect)
    assert redirect.isascii()
    assert redirect.isprintable()


patterns = text | st.sampled_from(["*", "*.*", "user.*", "user*", ".", ".*", "user.", "*.created"])


@EXAMPLES
@given(patterns | st.sampled_from(sorted(EVENT_TYPES)))
def test_a_pattern_matches_all_one_family_or_one_type(pattern: str) -> None:
    found = {name for name in EVENT_TYPES if matches(pattern, name)}
    FIGURES["fuzz examples, parsers"] += 1
    if pattern == "*":
        assert found == set(EVENT_TYPES)
    elif found:
        assert pattern in EVENT_TYPES or pattern.endswith(".*")
        assert {name.partition(".")[0] for name in found} == {pattern.partition(".")[0]}


BINDING = [b"b" * 32]


@EXAMPLES
@given(text | st.binary(max_size=60).map(lambda raw: raw.hex()), st.integers(0, 400))
def test_no_cursor_is_made_or_changed_by_hand(value: str, place: int) -> None:
    with pytest.raises(Problem):
        decode_cursor(value, BINDING)
    cursor = encode_cursor([2, ["name", "usr_01jt7a3v9qf8mbd2m0q5k4h6xz"]], BINDING)
    at = place % len(cursor)
    changed = cursor[:at] + value[:1] + cursor[at + 1 :]
    FIGURES["fuzz examples, parsers"] += 2
    if changed != cursor:
        with pytest.raises(Problem):
            decode_cursor(changed, BINDING)
    assert decode_cursor(cursor, BINDING) == (2, ["name", "usr_01jt7a3v9qf8mbd2m0q5k4h6xz"])


times = st.from_regex(
    r"\A\d{4}-\d{2}-\d{2}([Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,12})?([Zz]|[+-]\d{2}:\d{2}))?\Z"
)


@EXAMPLES
@given(text | times | json_values)
def test_a_time_is_in_utc_or_refused(value: Any) -> None:
    for parse in (
        fields.first_instant,
        fields.last_instant,
        TypeAdapter(fields.Instant).validate_python,
    ):
        instant = kept(parse, value)
        if instant is not None:
            assert isinstance(instant, datetime)
            assert instant.utcoffset() == datetime.now(UTC).utcoffset()


@EXAMPLES
@given(text | st.from_regex(r"\A[a-z]{3}_[0-9a-z]{26}\n?\Z"))
def test_an_identifier_has_one_spelling(value: str) -> None:
    FIGURES["fuzz examples, parsers"] += 1
    for prefix in ("usr", "org"):
        if ids.is_id(prefix, value):
            assert re.fullmatch(prefix + "_[0-7][0-9a-z]{25}", value)


@EXAMPLES
@given(text, st.sampled_from(["live", "test", "pub"]), st.integers(0, 100), text)
def test_a_key_has_its_checksum(value: str, kind: Any, place: int, other: str) -> None:
    FIGURES["fuzz examples, parsers"] += 2
    assert not secrets.is_secret(value)
    secret = secrets.new_secret(kind)
    at = place % len(secret)
    changed = secret[:at] + other[:1] + secret[at + 1 :]
    assert secrets.is_secret(secret)
    assert changed == secret or not secrets.is_secret(changed)


@EXAMPLES
@given(json_values, json_values)
def test_a_merge_patch_does_what_rfc_7396_says(target: Any, patch: Any) -> None:
    merged = kept(lambda value: merge(target, value), patch)
    FIGURES["fuzz examples, parsers"] += 1
    if not isinstance(patch, dict):
        assert merged == patch
        return
    for name, value in patch.items():
        if value is None:
            assert name not in merged
        elif not isinstance(value, dict):
            assert merged[name] == value
    if isinstance(target, dict):
        assert {n: v for n, v in merged.items() if n not in patch} == {
            n: v for n, v in target.items() if n not in patch
        }
    assert merge(merged, {}) == merged


number_texts = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.integers(0, 308).map(lambda zeros: "1" + "0" * zeros),
    st.sampled_from(["-0", "-0.0", "1E+2", "1e20", "1e21", "0.10", "1e-7", "1e400", str(2**64)]),
)
json_texts = st.recursive(
    number_texts | st.sampled_from(["null", "true", "{}", "[]"]) | text.map(json.dumps),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]")
        | st.dictionaries(text.map(json.dumps), inner, max_size=4).map(
            lambda members: "{" + ",".join(f"{n}:{v}" for n, v in members.items()) + "}"
        )
    ),
    max_leaves=12,
)


@EXAMPLES
@given(st.dictionaries(text.map(json.dumps), json_texts, max_size=4))
@example({'"n"': "[" + ",".join(["1e308"] * 2300) + "]"})
@example({'"n"': "-0.0", '"m"': '{"a":null}'})
def test_metadata_that_is_shown_can_be_sent_back(members: dict[str, str]) -> None:
    written = "{" + ",".join(f"{name}:{value}" for name, value in members.items()) + "}"

    def create(body: str) -> str:
        user = CreateUser.model_validate_json('{"email":"a@x.test","metadata":' + body + "}")
        return encoded_object(user.metadata, "metadata")

    shown = kept(create, written)
    if shown is None:
        return
    assert len(shown) <= METADATA_BYTES
    assert create(shown) == shown
    patch = UpdateUser.model_validate_json('{"metadata":' + shown + "}")
    after, changes = apply_patch(Row({"metadata": shown}), patch.given(), ("metadata",))
    assert (changes, after.metadata_) == ({}, shown)


@EXAMPLES
@given(st.floats(allow_nan=False, allow_infinity=False))
@example(2.0**60)
@example(5e-324)
def test_a_double_is_shown_in_its_shortest_form(value: float) -> None:
    shown = format_double(value)
    assert float(shown) == value
    assert len(shown) <= len("-0.00000") + 17
    assert shown != "-0"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        # What ECMAScript's Number.toString shows.
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (-0.0, "0"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1.5e300, "1.5e+300"),
        (2.0**60, "1152921504606847000"),
        (123.456, "123.456"),
    ],
)
def test_doubles_are_shown_as_rfc_8785_says(value: float, shown: str) -> None:
    assert format_double(value) == shown
