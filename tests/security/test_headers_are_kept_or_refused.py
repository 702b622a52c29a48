"""What comes in headers, forms and tokens, whatever its bytes: understood, replaced or refused.

Pure: any exception but a refusal would have been a 5xx.
"""

import base64
import re
import string
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import jwt
import pytest
from chassis.merge_patch import check_version
from contracts.context import Context
from contracts.problems import Problem
from contracts.secrets import is_secret
from edge.http import request as edge_request
from edge.limits.rate_limits import address_bucket
from edge.routers import tenants
from hypothesis import given, settings
from hypothesis import strategies as st
from identity.sessions import access_tokens, refresh_tokens
from starlette.requests import Request
from support.figures import FIGURES
from webhooks.rules.retry_policy import DELAYS, MAX_RETRY_AFTER, next_attempt_at

EXAMPLES = settings(max_examples=400, deadline=None)
NOW = datetime(2026, 1, 15, 10, tzinfo=UTC)

latin = st.text(st.characters(max_codepoint=255), max_size=120)
text = st.text(st.characters(exclude_categories=("Cs",)), max_size=120)
traces = st.from_regex(r"\A[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\n?\Z")
deep = st.integers(1, 1500).map(lambda depth: "[" * depth)


def request_with(**fields: str) -> Request:
    raw = [(n.replace("_", "-").encode(), v.encode("latin-1")) for n, v in fields.items()]
    return Request({"type": "http", "headers": raw})


def status_of(parse: Callable[[], Any]) -> int:
    """200, or that of the refusal."""
    try:
        parse()
    except Problem as problem:
        return problem.status
    return 200


@EXAMPLES
@given(latin, latin | traces)
def test_a_request_id_and_a_trace_are_well_formed(request_id: str, traceparent: str) -> None:
    FIGURES["fuzz examples, parsers"] += 2
    ids = edge_request.read_metadata(request_with(x_request_id=request_id, traceparent=traceparent))
    assert 1 <= len(ids.request_id) <= 128
    assert set(ids.request_id) <= set(string.ascii_letters + string.digits + "._-")
    version, trace_id, span, flags = ids.traceparent.split("-")
    assert [len(version), len(trace_id), len(span), len(flags)] == [2, 32, 16, 2]
    assert version == "00"
    assert min(int(trace_id, 16), int(span, 16)) > 0


@EXAMPLES
@given(latin)
def test_an_idempotency_key_is_visible_ascii_or_refused(value: str) -> None:
    FIGURES["fuzz examples, parsers"] += 1
    visible = 1 <= len(value) <= 255 and all("!" <= each <= "~" for each in value)
    request = request_with(idempotency_key=value)
    assert status_of(lambda: edge_request.read_idempotency_key(request)) == (
        200 if visible else 422
    )


@EXAMPLES
@given(latin)
def test_if_match_is_of_the_version_or_a_mismatch(value: str) -> None:
    FIGURES["fuzz examples, parsers"] += 1
    context = Context(request_id="r", traceparent="t", if_match=value)
    tags = [tag.strip() for tag in value.split(",")]
    good = any(tag == "*" or re.fullmatch(r'"3(\.[^"]*)?"', tag) for tag in tags)
    status = status_of(lambda: check_version(context, 3))
    assert status in ((200,) if good else (200, 412))
    assert status == 412 or '"3' in value or "*" in value


@EXAMPLES
@given(latin)
def test_a_user_agent_is_printable_and_short(value: str) -> None:
    FIGURES["fuzz examples, parsers"] += 1
    shown = edge_request.read_user_agent(request_with(user_agent=value))
    assert shown is not None
    assert shown.isprintable()
    assert len(shown) <= 512


dates = st.from_regex(
    r"\A[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,5} \d\d:\d\d:\d\d [A-Z+-]{1,4}\d*\Z"
)


@EXAMPLES
@given(text | dates | st.integers().map(str), st.integers(1, len(DELAYS)))
def test_retry_after_lengthens_within_a_day_and_never_shortens(value: str, failed: int) -> None:
    FIGURES["fuzz examples, parsers"] += 1
    plain = next_attempt_at(failed, NOW, None, chance=0.5)
    at = next_attempt_at(failed, NOW, value, chance=0.5)
    assert plain is not None
    assert at is not None
    assert plain <= at <= NOW + max(plain - NOW, MAX_RETRY_AFTER + timedelta(seconds=1))


@EXAMPLES
@given(text, text, latin)
def test_http_basic_names_a_client_or_is_refused(name: str, secret: str, junk: str) -> None:
    FIGURES["fuzz examples, parsers"] += 2
    pair = base64.b64encode(f"{quote(name)}:{quote(secret)}".encode()).decode()
    assert tenants._basic_credentials(request_with(authorization=f"Basic {pair}")) == (name, secret)
    request = request_with(authorization=f"Basic {junk}")
    assert status_of(lambda: tenants._basic_credentials(request)) in (200, 401)


def token_of(header: str, payload: str) -> str:
    parts = [
        base64.urlsafe_b64encode(each.encode()).decode().rstrip("=") for each in (header, payload)
    ]
    return ".".join([*parts, "c2ln"])


@EXAMPLES
@given(text | deep, text | deep)
def test_what_is_no_token_is_read_as_none(header: str, payload: str) -> None:
    FIGURES["fuzz examples, parsers"] += 3
    assert access_tokens.decode_unverified(header) is None
    assert access_tokens.decode_unverified(token_of(header, payload)) is None
    valid = '{"alg":"EdDSA","kid":"k"}'
    read = access_tokens.decode_unverified(token_of(valid, payload))
    assert read is None or isinstance(read[1], dict)


@pytest.mark.parametrize("algorithm", ["none", "HS256", "NONE", "nOnE"])
def test_a_token_that_nobody_signed_has_no_claims_that_count(algorithm: str) -> None:
    """Read it may be; believed it is by a key of the project alone, and by that key's algorithm."""
    token = token_of(f'{{"alg":"{algorithm}","kid":"k"}}', '{"sid":"ses_1"}')
    key: Any = jwt.PyJWK({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "k",
                          "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})  # fmt: skip
    with pytest.raises(jwt.PyJWTError):
        jwt.decode(token, key, algorithms=[key.algorithm_name])


@EXAMPLES
@given(text)
def test_a_refresh_token_has_a_family_or_is_none(value: str) -> None:
    FIGURES["fuzz examples, parsers"] += 2
    assert refresh_tokens.family_of(value) is None
    assert not is_secret(value)
    family = refresh_tokens.create_family()
    token = refresh_tokens.create_token(family)
    assert refresh_tokens.family_of(token) == family
    assert refresh_tokens.family_of(token + value[:1]) == (None if value[:1] else family)


@EXAMPLES
@given(st.ip_addresses() | text)
def test_addresses_have_a_bucket_each_and_ipv6_sites_one(address: Any) -> None:
    FIGURES["fuzz examples, parsers"] += 1
    assert address_bucket(str(address)).startswith("address:")


def test_a_site_of_ipv6_has_one_bucket() -> None:
    assert address_bucket("2001:db8:1:2::1") == address_bucket("2001:db8:1:2:ffff::9")
    assert address_bucket("2001:db8:1:2::1") != address_bucket("2001:db8:1:3::1")
    assert address_bucket("::ffff:192.0.2.1") == address_bucket("192.0.2.1")
    assert address_bucket("192.0.2.1") != address_bucket("192.0.2.2")
    assert address_bucket(None) == address_bucket("nonsense") == "address:unknown"
