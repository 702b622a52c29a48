"""What a caller sends costs processor time in proportion to its bytes, whatever they are.

Every field of every body, every parameter of every query and every identifier of a path gets the
texts that are known to be slow to normalise, to match or to parse.
"""

import importlib
import pkgutil
import time
from contextlib import suppress
from typing import Any, cast

import contracts
import orjson
import pytest
from chassis.request import validate_request
from contracts.calls import Call
from contracts.context import Context
from contracts.problems import Problem

SIZES = (10_000, 100_000, 256_000)
SECONDS = 0.004
"""What any request may take, whatever its size."""
SECONDS_PER_BYTE = 0.5e-6
"""Far more than JSON of that size takes anyway, far less than what is quadratic at 10 KB."""

_SLOW = {
    "marks of two classes": ("\u0301", "\u0323"),
    "one mark": ("\u0308",),
    "marks on letters": ("a\u0323\u0301",),
    "letters that fold to three": ("\u1e9e\u0130\u03c2",),
    "jamo": ("\u1112\u1161\u11ab",),
    "blanks": (" \u3000\t",),
    "hyphens": ("a-",),
    "labels": ("a.", "@", "a."),
    "an idn": ("a@", "ü.", "\u0301"),
    "digits": ("1",),
    "arabic digits": ("\u0661",),
    "brackets": ("https://[", "["),
    "a url": ("https://a", "/..", "?", "#"),
    "a quoted local part": ('"', "\\"),
    "a time": ("2026-01-15T10:00:00.", "0"),
    "an address": ("::", "0:"),
    "a type id": ("usr_", "0"),
    "zeros": ("\0",),
}


def _slow(name: str, size: int) -> str:
    """About so many bytes of UTF-8."""
    parts = _SLOW[name]
    each = size // len(parts)
    return "".join(part * max(1, each // len(part.encode())) for part in parts)


def _calls() -> list[Call]:
    modules = [
        importlib.import_module(f"contracts.{module.name}")
        for module in pkgutil.iter_modules(contracts.__path__)
    ]
    found = {id(value): value for each in modules for value in vars(each).values()}
    return sorted(
        (value for value in found.values() if isinstance(value, Call)), key=lambda c: c.subject
    )


CALLS = _calls()
NO_KEYRING = cast("Any", None)
"""Validation needs none."""


def _seconds(call: Call, context: Context, body: bytes) -> float:
    started = time.thread_time()
    with suppress(Problem):
        validate_request(call, context, body, NO_KEYRING)
    return time.thread_time() - started


def _context(call: Call, **given: Any) -> Context:
    path = {name: f"{prefix}_{'0' * 26}" for name, prefix in call.path.items()}
    return Context(
        request_id="r", traceparent="00-" + "0" * 32, **{"path": path, "query": [], **given}
    )


def _assert_linear(call: Call, context: Context, body: bytes, size: int, what: str) -> None:
    """One of ten is enough: what others do on the machine is not the caller's cost."""
    limit = SECONDS + SECONDS_PER_BYTE * size
    assert any(_seconds(call, context, body) <= limit for _ in range(10)), (
        f"{call.subject}: {what} of {size} bytes took more than {limit:.3f} s"
    )


@pytest.mark.parametrize("name", _SLOW)
@pytest.mark.parametrize("size", SIZES)
def test_a_text_in_a_body_costs_in_proportion(name: str, size: int) -> None:
    text = _slow(name, size)
    for call in CALLS:
        for field in call.body.model_fields if call.body else ():
            for value in (text, [text], {"a": text}, {text: 1}):
                body = orjson.dumps({field: value})
                _assert_linear(call, _context(call), body, len(body), f"{field} of {name}")


@pytest.mark.parametrize("name", _SLOW)
@pytest.mark.parametrize("size", SIZES[:2])
def test_a_text_in_a_query_or_a_path_costs_in_proportion(name: str, size: int) -> None:
    text = _slow(name, size)
    for call in CALLS:
        for parameter in call.query.model_fields:
            context = _context(call, query=[(parameter, text)])
            _assert_linear(call, context, b"", size, f"{parameter} of {name}")
        for part in call.path:
            context = _context(call, path=dict.fromkeys(call.path, f"{call.path[part]}_{text}"))
            _assert_linear(call, context, b"", size, f"{part} of {name}")


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("digits", b"[" + b"9" * 250_000 + b"]"),
        ("a number with an exponent", b"1" + b"0" * 250_000 + b"e-250000"),
        ("arrays in arrays", b"[" * 120_000 + b"]" * 120_000),
        ("objects in objects", b'{"a":' * 40_000 + b"1" + b"}" * 40_000),
        ("short members", orjson.dumps({f"m{number}": 1 for number in range(20_000)})),
        ("short items", orjson.dumps(["a"] * 60_000)),
        ("distinct items", orjson.dumps([f"a{number}" for number in range(25_000)])),
        ("escapes", b'"' + rb"\u0301" * 40_000 + b'"'),
        ("repeated members", b"{" + b",".join([b'"a":1'] * 40_000) + b"}"),
    ],
)
def test_other_json_costs_in_proportion(what: str, value: bytes) -> None:
    for call in CALLS:
        for field in call.body.model_fields if call.body else ():
            body = b'{"' + field.encode() + b'":' + value + b"}"
            _assert_linear(call, _context(call), body, len(body), f"{field} of {what}")
        _assert_linear(call, _context(call), value, len(value), what)
