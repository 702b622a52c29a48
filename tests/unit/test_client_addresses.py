"""What counts as one client, and whom a proxy speaks for."""

import pytest
from chassis.client_addresses import MAX_HOPS, TrustedProxies, network_of, site_of
from edge.limits.rate_limits import address_bucket
from hypothesis import given
from hypothesis import strategies as st

PROXY = "10.0.0.1"
PROXIES = TrustedProxies("10.0.0.0/24, 2001:db8:1::5")


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("203.0.113.7, , 10.0.0.2,", "203.0.113.7"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("junk, 203.0.113.7", "203.0.113.7"),
        # Nobody vouches for what stands before an entry that is no address.
        ("203.0.113.7, junk", PROXY),
        ("203.0.113.7, junk, 10.0.0.2", "10.0.0.2"),
        ("unknown", PROXY),
        ("_hidden", PROXY),
        ("", PROXY),
        (",,,", PROXY),
        ("fe80::1%eth0", PROXY),
        ("[::1", "::1"),
        ("203.0.113.07", PROXY),
        ("203.0.113.7\x00", PROXY),
        ("é", PROXY),
        ("limit:*", PROXY),
        ("9" * 60_000, PROXY),
    ],
)
def test_the_client_is_the_last_address_that_is_no_proxy(forwarded: str, client: str) -> None:
    assert PROXIES.client_of(PROXY, [forwarded.encode("latin-1", "replace")]) == client


def test_several_lines_are_one_list() -> None:
    assert PROXIES.client_of(PROXY, [b"203.0.113.7", b"10.0.0.2"]) == "203.0.113.7"
    assert PROXIES.client_of(PROXY, []) == PROXY


def test_a_list_without_an_end_is_read_from_its_end() -> None:
    assert PROXIES.client_of(PROXY, [b"203.0.113.7," + b"10.0.0.9," * 7_000]) == "10.0.0.9"
    hops = b"203.0.113.7" + b", 10.0.0.9" * (MAX_HOPS - 1)
    assert PROXIES.client_of(PROXY, [hops]) == "203.0.113.7"


@given(st.binary(max_size=200))
def test_whatever_is_forwarded_a_client_is_an_address(forwarded: bytes) -> None:
    assert address_bucket(PROXIES.client_of(PROXY, [forwarded])) != "address:unknown"


def test_proxies_are_addresses_and_networks() -> None:
    assert "10.0.0.255" in PROXIES
    assert "::ffff:10.0.0.7" in PROXIES
    assert "2001:db8:1::5" in PROXIES
    for other in ("10.0.1.1", "2001:db8:1::6", "junk", "", None):
        assert other not in PROXIES
        assert other not in TrustedProxies()
    for wrong in ("*", "localhost", "10.0.0.1/8", "10.0.0.300"):
        with pytest.raises(ValueError, match=wrong.replace("*", r"\*")):
            TrustedProxies(wrong)


def test_a_site_is_an_address_or_a_64_and_a_network_a_24_or_a_64() -> None:
    assert site_of("192.0.2.1") == site_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert site_of("2001:db8:1:2::1") == site_of("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert site_of("2001:db8:1:2::1") != site_of("2001:db8:1:3::1")
    assert network_of("192.0.2.1") == network_of("192.0.2.255") == "192.0.2.0/24"
    assert network_of("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    assert site_of("fe80::1%eth0") == "fe80::/64"
    assert site_of(None) == network_of("junk") == "unknown"
