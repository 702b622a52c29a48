"""Which URLs and addresses webhooks may connect to: hostile ones in every notation."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webhooks.rules.address_policy import AddressNotAllowedError, check_address, check_url

FORBIDDEN_V4 = """
0.0.0.0 0.0.0.1 0.255.255.255 10.0.0.0 10.0.0.1 10.255.255.255 100.64.0.0 100.64.0.1
100.100.100.200 100.127.255.255 127.0.0.0 127.0.0.1 127.0.0.53 127.1.2.3 127.255.255.255
168.63.129.16 169.254.0.0 169.254.0.1 169.254.169.123 169.254.169.254 169.254.170.2
169.254.255.255 172.16.0.0 172.16.0.1 172.17.0.1 172.31.255.255 192.0.0.0 192.0.0.1 192.0.0.8
192.0.0.170 192.0.0.192 192.0.0.255 192.0.2.0 192.0.2.1 192.0.2.255 192.31.196.1 192.52.193.1
192.88.99.0 192.88.99.1 192.88.99.255 192.168.0.0 192.168.0.1 192.168.1.1 192.168.255.255
192.175.48.1 198.18.0.0 198.18.0.1 198.19.255.255 198.51.100.0 198.51.100.1 203.0.113.0
203.0.113.1 203.0.113.255 224.0.0.0 224.0.0.1 224.0.0.251 239.255.255.250 239.255.255.255
240.0.0.0 240.0.0.1 255.255.255.254 255.255.255.255
""".split()  # noqa: SIM905 - a table to read

FORBIDDEN_V6 = """
:: ::1 ::2 ::7f00:1 ::127.0.0.1 ::10.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:7f00:1
::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:192.168.1.1 ::ffff:8.8.8.8 ::ffff:0:127.0.0.1
::ffff:0:0 0:0:0:0:0:ffff:7f00:0001 64:ff9b::127.0.0.1 64:ff9b::7f00:1 64:ff9b::a00:1
64:ff9b::169.254.169.254 64:ff9b::8.8.8.8 64:ff9b:1::1 64:ff9b:1::7f00:1 64:ff9b:1:ffff::1
100::1 100:0:0:1::1 2001::1 2001:0:7f00:1::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:1::1
2001:2::1 2001:3::1 2001:4:112::1 2001:5::1 2001:10::1 2001:1f:ffff::1 2001:20::1 2001:2f::1
2001:30::1 2001:1ff:ffff::1 2001:db8::1 2001:db8:ffff::1 2002::1 2002:7f00:1::1 2002:7f00:1::
2002:a00:1::1 2002:a9fe:a9fe::1 2002:c0a8:101::1 2620:4f:8000::1 3ffe::1 3fff::1 3fff:fff:ffff::1
4000::1 5f00::1 6000::1 8000::1 e000::1 fc00::1 fd00::1 fd00:ec2::254 fd20:ce::254
fdff:ffff::1 fe80::1 fe80::7f00:1 fe80::1%eth0 febf::1 fec0::1 feff::1 ff01::1 ff02::1
ff02::2 ff05::1 ff0e::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
""".split()  # noqa: SIM905 - a table to read

NO_ADDRESS = """
127.1 2130706433 0x7f000001 017700000001 0177.0.0.1 127.0.0.01 1.2.3 1.2.3.4.5 256.1.1.1 localhost
""".split()  # noqa: SIM905 - a table to read

ALLOWED = """
1.1.1.1 8.8.8.8 9.9.9.9 11.0.0.1 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1
168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0
192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 203.0.112.255
203.0.114.0 223.255.255.255 2000::1 2001:200::1 2001:4860:4860::8888 2003::1 2400:cb00::1
2606:4700:4700::1111 2a00:1450:4001:80b::200e 3ff0::1
""".split()  # noqa: SIM905 - a table to read

HOSTILE_URLS = [
    *(f"https://{address}/" for address in FORBIDDEN_V4),
    *(f"https://[{address}]/" for address in FORBIDDEN_V6),
    *(f"https://{address}/" for address in NO_ADDRESS),
    # IPv4 in notations that resolvers and browsers take.
    "https://0x7f.0.0.1/",
    "https://0X7F.0.0.1/",
    "https://0x7f.1/",
    "https://0x7f/",
    "https://0x/",
    "https://0/",
    "https://00/",
    "https://1/",
    "https://127.0.1/",
    "https://127.0.0.0x1/",
    "https://0177.0.0.01/",
    "https://00177.0.0.1/",
    "https://0x0a.0x0.0x0.0x1/",
    "https://012.0.0.1/",
    "https://10.0.0.001/",
    "https://4294967295/",
    "https://4294967296/",
    "https://0xA9FEA9FE/",
    "https://2852039166/",
    "https://0251.0376.0251.0376/",
    "https://169.254.43518/",
    "https://169.16689662/",
    "https://8.8.8/",
    "https://134744072/",
    "https://0x8080808/",
    "https://127.0.0.1./",
    "https://127.0.0.1../",
    "https://127..0.0.1/",
    "https://.127.0.0.1/",
    "https://example.com.0x7f/",
    "https://example.127/",
    # IPv6 in odd clothes.
    "https://[::1",
    "https://::1/",
    "https://[::1]:/",
    "https://[::1].example.com/",
    "https://[127.0.0.1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[0000:0000:0000:0000:0000:0000:0000:0001]/",
    "https://[::FFFF:7F00:1]/",
    "https://[v1.fe80::a]/",
    "https://[]/",
    "https://[2606:4700:4700::1111]evil/",
    "https://2606:4700:4700::1111/",
    # Names that never leave the machine or the site.
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost:8443/",
    "https://localhost./",
    "https://app.localhost/",
    "https://a.b.LocalHost/",
    "https://metadata/",
    "https://intranet/",
    "https://example.com./",
    "https://./",
    "https://../",
    "https://-example.com/",
    "https://example-.com/",
    "https://exa..mple.com/",
    f"https://{'a' * 64}.com/",
    f"https://{'a.' * 127}com/",
    # Userinfo, escapes, and what parsers disagree about.
    "https://user@example.com/",
    "https://user:password@example.com/",
    "https://example.com@127.0.0.1/",
    "https://127.0.0.1@example.com/",
    "https://@example.com/",
    "https://example.com:443@127.0.0.1/",
    "https://%31%32%37.0.0.1/",
    "https://127%2e0%2e0%2e1/",
    "https://exa%6dple.com/",
    "https://example.com%2f@127.0.0.1/",
    "https://example.com%00.evil.com/",
    "https://example.com\\@127.0.0.1/",
    "https://127.0.0.1\\@example.com/",
    "https:\\\\127.0.0.1/",
    "https:/127.0.0.1/",
    "https:127.0.0.1",
    "https:///127.0.0.1/",
    "https:////127.0.0.1/",
    "//127.0.0.1/",
    "https://example.com/#fragment",
    "https://example.com#@127.0.0.1/",
    "https://example.com?@127.0.0.1\\",
    "https://example.com /",
    "https://exa mple.com/",
    " https://example.com/",
    "https://example.com/ ",
    "https://example.com/\t",
    "https://example.com/\n",
    "https://example.com/\r\nHost: evil",
    "https://example.com/\0",
    "https://exam\tple.com/",
    "https://example.com/<script>",
    'https://example.com/"',
    "https://example.com/{x}",
    "https://example.com/^",
    "https://example.com/`x`",
    "https://example.com/|",
    # International names only as punycode; look-alikes of digits and dots.
    "https://münchen.example/",
    "https://例え.jp/",
    "https://①②⑦.⓪.⓪.①/",
    "https://127。0。0。1/",
    "https://127．0．0．1/",  # noqa: RUF001
    "https://127｡0｡0｡1/",
    "https://１２７.0.0.1/",  # noqa: RUF001
    "https://ⓔxample.com/",
    "https://loc\u00adalhost/",
    "https://example.com/ü",
    "https://exam\u200bple.com/",
    "https://ex\u202eample.com/",
    # Schemes and ports.
    "http://example.com/",
    "http://example.com:443/",
    "HTTP://example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "javascript:alert(1)",
    "data:text/html,x",
    "unix:///var/run/docker.sock",
    "ws://example.com/",
    "httpss://example.com/",
    "https",
    "https:",
    "https://",
    "",
    "example.com",
    "https://:443/",
    "https://example.com:/",
    "https://example.com:0/",
    "https://example.com:1/",
    "https://example.com:22/",
    "https://example.com:25/",
    "https://example.com:80/",
    "https://example.com:442/",
    "https://example.com:1024/",
    "https://example.com:65536/",
    "https://example.com:99999/",
    "https://example.com:443443/",
    "https://example.com:-443/",
    "https://example.com:+443/",
    "https://example.com:4_43/",
    "https://example.com:0x1bb/",
    "https://example.com:443:443/",
    "https://example.com: 443/",
    "https://example.com:٤٤٣/",
]

GOOD_URLS = [
    "https://example.com",
    "https://example.com/",
    "https://example.com?x=1",
    "HTTPS://EXAMPLE.com/In",
    "https://hooks.example.com/in?token=a%20b&c=d",
    "https://hooks.example.com:443/",
    "https://hooks.example.com:8443/",
    "https://hooks.example.com:1025/",
    "https://hooks.example.com:65535/a/../b",
    "https://xn--mnchen-3ya.example/",
    "https://under_score.example.com/",
    "https://1and1.example/",
    "https://8.8.8.8/",
    "https://[2606:4700:4700::1111]:8443/in",
    "https://127.0.0.1.nip.example/",
]


def test_there_are_at_least_200_hostile_urls() -> None:
    assert len(set(HOSTILE_URLS)) >= 200


@pytest.mark.parametrize("url", HOSTILE_URLS)
def test_a_hostile_url_is_refused_without_naming_an_address(url: str) -> None:
    with pytest.raises(AddressNotAllowedError) as refused:
        check_url(url)
    assert "127" not in str(refused.value)
    assert "::" not in str(refused.value)


@pytest.mark.parametrize("url", GOOD_URLS)
def test_a_good_url_is_allowed(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize("address", FORBIDDEN_V4 + FORBIDDEN_V6 + NO_ADDRESS)
def test_a_forbidden_address_is_refused(address: str) -> None:
    with pytest.raises(AddressNotAllowedError):
        check_address(address)


@pytest.mark.parametrize("address", ALLOWED)
def test_a_public_address_is_allowed(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:3000/",
        "http://127.0.0.1/in",
        "http://[::1]:80/",
        "http://receiver/",
        "https://10.0.0.1/",
        "http://172.17.0.2:8080/",
        "http://192.168.1.2/",
        "https://[fd00::1]/",
    ],
)
def test_the_development_flag_allows_loopback_and_private_addresses(url: str) -> None:
    check_url(url, allow_private=True)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/",
        "http://0.0.0.0/",
        "http://0x7f.1/",
        "http://[::ffff:127.0.0.1]/",
        "http://[fe80::1]/",
        "http://224.0.0.1/",
        "http://user@localhost/",
        "ftp://localhost/",
    ],
)
def test_the_development_flag_allows_nothing_else(url: str) -> None:
    with pytest.raises(AddressNotAllowedError):
        check_url(url, allow_private=True)


@given(st.ip_addresses(v=4))
def test_no_special_ipv4_address_is_ever_allowed(address: IPv4Address) -> None:
    try:
        check_address(address)
    except AddressNotAllowedError:
        return
    assert address.is_global
    assert not address.is_multicast


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_outside_the_global_space_is_ever_allowed(address: IPv6Address) -> None:
    try:
        check_address(address)
    except AddressNotAllowedError:
        return
    assert int(address) >> 125 == 1
    assert address.is_global
    assert (address.ipv4_mapped, address.sixtofour, address.teredo) == (None, None, None)


@given(st.text())
def test_any_text_is_allowed_or_refused(text: str) -> None:
    for url in (text, f"https://{text}/", f"https://example.com/{text}"):
        try:
            check_url(url)
        except AddressNotAllowedError:
            continue
        assert url.isascii()
