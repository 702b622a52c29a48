"""JSON objects that callers keep with their resources: `metadata` and `settings`.

What is read is what was written, and can be sent back: numbers are 64-bit integers or finite
doubles, each in one form, which is the shortest (RFC 8785).
"""

import math
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from contracts.fields import fault

METADATA_BYTES = 16 * 1024
METADATA_DEPTH = 8
_MIN, _MAX = -(2**63), 2**63 - 1


def normal_object(value: dict[str, Any]) -> dict[str, Any]:
    """The object as it is kept: with normal numbers, and without the members of `null` that a merge
    patch would remove. Raises a fault for NUL, lone surrogates, other numbers and deep nesting.
    """
    return dict(_normal(value, METADATA_DEPTH, in_array=False))


def _normal(node: Any, left: int, *, in_array: bool) -> Any:
    if left < 0:
        raise fault("too_deep", f"must not nest deeper than {METADATA_DEPTH} levels")
    if isinstance(node, str):
        _check_text(node)
    elif isinstance(node, dict):
        for name in node:
            _check_text(name)
        return {
            name: _normal(member, left - 1, in_array=in_array)
            for name, member in node.items()
            if in_array or member is not None
        }
    elif isinstance(node, list):
        return [_normal(member, left - 1, in_array=True) for member in node]
    elif isinstance(node, int | float) and not isinstance(node, bool):
        return _normal_number(node)
    return node


def _check_text(text: str) -> None:
    if "\0" in text or not (text.isascii() or all(not "\ud800" <= c <= "\udfff" for c in text)):
        raise fault("invalid_text", "must not contain NUL or lone surrogates")


def _normal_number(value: float) -> float:
    """An integer of 64 bits where it can be one, else a double."""
    if isinstance(value, int):
        return value if _MIN <= value <= _MAX else _to_double(value)
    if not math.isfinite(value):
        raise fault("invalid_number", "must contain only finite numbers")
    if value.is_integer() and abs(value) < 1e21:
        digits = int(Decimal(repr(value)))
        return digits if _MIN <= digits <= _MAX else value
    return value


def _to_double(value: int) -> float:
    """A longer integer is a double that is written out."""
    try:
        double = float(value)
    except OverflowError:
        double = math.inf
    if not math.isfinite(double) or (double != value and Decimal(repr(double)) != value):
        raise fault("invalid_number", "must not contain integers that need more than 64 bits")
    return double


def format_double(value: float) -> str:
    """The shortest form of a finite double (ECMAScript's Number.toString, RFC 8785 3.2.2.3)."""
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int), "the double is finite"
    text, point = "".join(map(str, digits)), len(digits) + exponent
    if len(text) <= point <= 21:
        shown = text + "0" * (point - len(text))
    elif 0 < point <= 21:
        shown = f"{text[:point]}.{text[point:]}"
    elif -6 < point <= 0:
        shown = "0." + "0" * -point + text
    else:
        rest = f".{text[1:]}" if len(text) > 1 else ""
        shown = f"{text[0]}{rest}e{point - 1:+d}"
    return "-" + shown if sign and value else shown


Metadata = Annotated[
    dict[str, Any], AfterValidator(normal_object), Field(examples=[{"plan": "enterprise"}])
]


def merge(target: Any, patch: Any) -> Any:
    """RFC 7396: objects merge deeply, null removes, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged
