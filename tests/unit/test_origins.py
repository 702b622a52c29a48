"""Allowed origins and redirects: what is stored, and what is refused."""

import pytest
from contracts.origins import normal_origin, normal_redirect
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

KEPT = {
    "https://App.Acme.com:443": "https://app.acme.com",
    "https://app.acme.com:8443": "https://app.acme.com:8443",
    "http://localhost:3000": "http://localhost:3000",
    "http://127.0.0.1": "http://127.0.0.1",
    "https://[::1]:8443": "https://[::1]:8443",
    "https://*.acme.com": "https://*.acme.com",
    "https://[2001:DB8:0:0::0001]": "https://[2001:db8::1]",
    "http://[0:0:0:0:0:0:0:1]:3000": "http://[::1]:3000",
}
REFUSED = [
    "", "null", "acme.com", "http://acme.com", "https://acme.com/", "https://acme.com?x",
    "https://acme.com#f", "https://user@acme.com", "https://*.com", "https://a.*.com",
    "http://*.localhost", "https://acme..com", "https://acme.com:", "https://acme.com:0",
    "https://acme.com:99999", "ftp://acme.com", "https://1.2.3", "https://acm\u00e9.com",
    "https://acme.com\\evil", "https:acme.com", "https://[::1", "javascript:alert(1)",
    "https://good.example[::1]", "https://[::1]good.example", "https://[v1.evil.com]",
    "https://[fe80::1%25eth0]", "https://[fe80::1%eth0]", "https://[1.2.3.4]", "https://[]",
    "https://0x7f000001", "https://acme.0x1", "https://a[b", "https://a]b:1",
]  # fmt: skip


@pytest.mark.parametrize(("given_", "kept"), KEPT.items())
def test_an_origin_is_kept_in_its_normal_form(given_: str, kept: str) -> None:
    assert normal_origin(given_) == kept
    assert normal_origin(kept) == kept


@pytest.mark.parametrize("value", REFUSED)
def test_what_is_no_origin_is_refused(value: str) -> None:
    with pytest.raises(PydanticCustomError):
        normal_origin(value)


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("https://App.Acme.com:443/Cb?x=1", "https://app.acme.com/Cb?x=1"),
        ("http://127.0.0.1:1234/x", "http://127.0.0.1:1234/x"),
        ("com.acme.app:/cb", "com.acme.app:/cb"),
        ("com.example.app.oauth:/", "com.example.app.oauth:/"),
        ("https://[0::1]:443/cb", "https://[::1]/cb"),
    ],
)
def test_a_redirect_is_kept_in_its_normal_form(given_: str, kept: str) -> None:
    assert normal_redirect(given_) == kept


@pytest.mark.parametrize(
    "value",
    [
        "/relative", "http://acme.com/cb", "https://acme.com/#f", "https://u@acme.com/",
        "https://*.acme.com/cb", "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd",
        "myapp://cb", "com.acme.app://", "com.acme.app:", "https:///x",
        "https://good.example[::1]/cb", "https://[v1.evil.com]/cb", "https://[fe80::1%25eth0]/",
    ],
)  # fmt: skip
def test_a_dangerous_redirect_is_refused(value: str) -> None:
    with pytest.raises(PydanticCustomError):
        normal_redirect(value)


@given(st.text(max_size=60))
def test_whatever_comes_is_kept_or_refused(value: str) -> None:
    for normal in (normal_origin, normal_redirect):
        try:
            kept = normal(value)
        except PydanticCustomError:
            continue
        assert normal(kept) == kept
