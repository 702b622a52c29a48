"""Where NATS is: one server or several, one user, and no secret in what is said of a mistake."""

import pytest
from chassis.nats_client import parse_nats_urls


def test_the_credentials_of_the_first_server_are_those_of_all() -> None:
    where = parse_nats_urls("nats://edge:p%40ss@a:4222, nats://b:4223,c")
    assert where.servers == ["nats://a:4222", "nats://b:4223", "nats://c"]
    assert (where.user, where.password) == ("edge", "p@ss")
    assert where.inbox_prefix == b"_INBOX_edge"
    assert str(where) == "a:4222, b:4223, c"


def test_a_second_user_of_a_service_has_the_inbox_of_the_first() -> None:
    assert parse_nats_urls("nats://edge-2:pass@a").inbox_prefix == b"_INBOX_edge"


def test_each_server_may_name_the_same_credentials() -> None:
    where = parse_nats_urls("tls://edge:pass@a:4222,tls://edge:pass@b:4222")
    assert (where.servers, where.user) == (["tls://a:4222", "tls://b:4222"], "edge")


@pytest.mark.parametrize(
    "urls",
    [
        "nats://edge:s3cret@a,nats://audit:s3cret@b",
        "nats://edge:s3cret@a,nats://edge:0therS3cret@b",
        "nats://s3cret@a",
        "nats://edge:s3cret/@a",
        "http://edge:s3cret@a",
        "nats://edge:s3cret@",
        " , ",
    ],
)
def test_what_cannot_be_read_is_refused_without_saying_the_password(urls: str) -> None:
    with pytest.raises(ValueError, match="must") as refused:
        parse_nats_urls(urls)
    assert "s3cret" not in str(refused.value).lower()
