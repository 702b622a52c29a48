"""What asks for TLS to a server, and what stops a process that could not verify one."""

from pathlib import Path

import pytest
from chassis.settings import ServiceSettings
from chassis.tls import add_files, tls_of, with_files
from pydantic import ValidationError
from support.certificates import Authority


@pytest.mark.parametrize(
    ("url", "asks"),
    [
        ("postgresql://a:b@h/d", False),
        ("postgresql://a:b@h/d?sslmode=prefer", False),
        ("postgresql://a:b@h/d?sslmode=require", True),
        ("postgresql://a:b@h/d?sslmode=verify-full", True),
        ("nats://a:b@h", False),
        ("tls://a:b@h", True),
        ("redis://h", False),
        ("rediss://h", True),
        ("redis://h?sslrootcert=ca.pem", True),
        ("postgresql://[h/d?sslmode=require", False),
    ],
)
def test_a_url_asks_for_tls_by_scheme_mode_or_file(url: str, asks: bool) -> None:
    assert (tls_of(url) is not None) is asks


def test_files_are_added_and_nothing_else_of_the_url_changes(tmp_path: Path) -> None:
    ca = str(Authority(tmp_path / "a, b", "one").certificate)
    for url in ("postgresql://u:p,%40w@h:5432/d?application_name=x", "redis://:p@h/0", "h"):
        found = add_files(url, {"sslrootcert": ca, "sslcert": None, "sslkey": ""})
        assert found.startswith(url)
        assert tls_of(found) is tls_of(add_files("x://y", {"sslrootcert": ca}))
        assert add_files(url, {"sslrootcert": None}) == url
    cluster = with_files("nats://u:p@a,nats://b:1", "nats", {"nats_ca_file": ca})
    assert cluster.startswith("nats://u:p@a,nats://b:1?sslrootcert=")
    assert "," not in cluster.partition("?")[2]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"database_ca_file": "/nowhere"}, "TENANTRY_DATABASE_CA_FILE"),
        ({"database_key_file": "/nowhere"}, "TENANTRY_DATABASE_CERT_FILE"),
        ({"nats_cert_file": "/nowhere"}, "TENANTRY_NATS_CERT_FILE"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(given: dict[str, str], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        ServiceSettings(database_url="postgresql://a:b@h/d", **given)


def test_an_empty_setting_is_none() -> None:
    assert with_files("redis://h", "redis", {"redis_ca_file": ""}) == "redis://h"
