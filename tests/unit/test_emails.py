"""Plain addresses take a short way, and come out as the library would have them."""

import pytest
from contracts import fields
from contracts.users import CreateUser
from email_validator import EmailNotValidError, validate_email
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

_LABEL = st.text("abZ09-", min_size=1, max_size=64)
_LOCAL = st.text("aZ9_+-.", min_size=1, max_size=66)
_DOMAIN = st.lists(_LABEL, min_size=1, max_size=5).map(".".join)


def _by_the_library(address: str) -> str | None:
    try:
        checked = validate_email(address, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        return None
    return checked.normalized


def _by_us(address: str) -> str | None:
    try:
        return CreateUser(email=address).email
    except ValidationError:
        return None


@settings(max_examples=500)
@given(_LOCAL, _DOMAIN, st.sampled_from(["", ".com", ".x", ".Museum"]))
def test_both_ways_lead_to_the_same(local: str, domain: str, top: str) -> None:
    address = f"{local}@{domain}{top}"
    assert _by_us(address) == _by_the_library(address)


@pytest.mark.parametrize(
    ("address", "is_plain"),
    [
        ("ada@example.com", True),
        ("Ada.Lovelace+x@Mail.Example.COM", True),
        (f"{'a' * 64}@example.com", True),
        (f"{'a' * 65}@example.com", False),
        ("ada@xn--bcher-kva.example", False),
        ("ada@localhost", False),
        ("ada@1.2.3.4", False),
        ("ada@example.com\n", False),
        ("böb@example.com", False),
    ],
)
def test_only_plain_ones_take_it(address: str, is_plain: bool) -> None:
    assert bool(fields._PLAIN_EMAIL.fullmatch(address)) is is_plain


@pytest.mark.parametrize(("local", "is_kept"), [("é" * 32, True), ("é" * 33, False)])
def test_the_local_part_has_at_most_64_octets(local: str, is_kept: bool) -> None:
    assert (_by_us(f"{local}@x.test") is not None) is is_kept
