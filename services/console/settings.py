"""Settings of the console."""

from chassis.client_addresses import TrustedProxies
from chassis.settings import HttpSettings, parse_encryption_keys
from pydantic import SecretStr, field_validator

PAGE_SECONDS = 2.8
"""Within which a page is answered, whatever hangs behind it."""
CALL_SECONDS = 2.2
"""Within which a call of the API has to be answered. The edge answers within 2."""


class ConsoleSettings(HttpSettings):
    """`console_edge_url`: the API. `console_source_address`: the address from which it is called,
    if the edge is to tell the console from others on the same machine.
    `console_keys`: `id:base64` of 32 bytes each, separated by commas, encrypt what the console
    keeps of people who are signed in; the first encrypts, all decrypt.
    `redis_url`: where that is kept; without it, in their cookies.
    `trusted_proxies`: addresses and networks, separated by commas, whose X-Forwarded-For is
    believed. `management_host` and `management_port` serve metrics, and health once more.
    """

    console_edge_url: str = "http://127.0.0.1:8080"
    console_source_address: str | None = None
    console_keys: SecretStr
    redis_url: SecretStr | None = None
    trusted_proxies: str = ""
    management_host: str = "127.0.0.1"
    management_port: int = 8082

    @field_validator("console_keys")
    @classmethod
    def _keys(cls, value: SecretStr) -> SecretStr:
        parse_encryption_keys(value.get_secret_value())
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies(cls, value: str) -> str:
        TrustedProxies(value)
        return value
