"""Settings of the edge: what follows from one another, and what stops the process."""

from typing import Any

import pytest
from chassis.client_limits import MEBIBYTE, ClientLimits
from edge.settings import EdgeSettings
from pydantic import ValidationError

KEY = "an-operator-key-of-these-tests-alone"


def settings(**given: Any) -> EdgeSettings:
    return EdgeSettings(operator_key=KEY, **given)


def test_a_tenant_has_five_times_the_limit_of_a_credential_unless_it_is_given() -> None:
    assert settings().tenant_rate == (500, 1)
    assert settings(rate_limit="60/minute").tenant_rate == (300, 60)
    assert settings(tenant_rate_limit="").tenant_rate == (500, 1)
    assert settings(tenant_rate_limit="7/minute").tenant_rate == (7, 60)


def test_limits_of_clients_are_those_of_every_server_unless_they_are_given() -> None:
    assert settings().client_limits == ClientLimits()
    given = settings(connections_per_address=3, client_memory_mib_per_address=2).client_limits
    assert (given.connections_per_address, given.memory_per_address) == (3, 2 * MEBIBYTE)


def test_a_second_key_is_there_while_one_is_rotated_alone() -> None:
    first, second = "the-first-key-of-a-proxy-in-this-test", "the-second-key-of-a-proxy-in-this-one"
    both = settings(proxy_key=first, proxy_key_2=second).proxies
    assert both.is_key(first.encode())
    assert both.is_key(second.encode())
    one = settings(proxy_key=first, proxy_key_2="").proxies
    assert not one.is_key(second.encode())
    assert not one.is_key(b"")
    assert settings(operator_key_2="").operator_key_2 is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"operator_key_2": "short"},
        {"proxy_key_2": "short"},
        {"tenant_rate_limit": "plenty"},
        {"tenant_rate_limit": "0/second"},
        {"trusted_proxies": "*"},
        {"trusted_proxies": "10.0.0.1, proxy.example.com"},
        {"connections_per_address": 0},
        {"client_memory_mib": -1},
    ],
)
def test_a_wrong_one_stops_the_process(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(**wrong)
