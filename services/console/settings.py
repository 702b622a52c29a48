"""Settings of the console."""

from chassis.client_addresses import TrustedProxies
from chassis.settings import RedisSettings, parse_encryption_keys
from pydantic import Field, SecretStr, field_validator

PAGE_SECONDS = 2.8
"""Within which a page is answered, whatever hangs behind it."""
CALL_SECONDS = 2.2
"""Within which a call of the API has to be answered. The edge answers within 2."""

REDIS_SECONDS = 0.6
"""Within which Redis has to answer, twice at most: a page that says so comes in time."""


class ConsoleSettings(RedisSettings):
    """`console_edge_url`: the API. `proxy_key`: the edge's, which believes by it whose request it
    is; without it the audit trail has the console's address in place of the person's.
    `console_keys`: `id:base64` of 32 bytes each, separated by commas, encrypt what the console
    keeps of people who are signed in; the first encrypts, all decrypt.
    `redis_url`: where that is kept; without it, in their cookies.
    `trusted_proxies`: addresses and networks, separated by commas, whose X-Forwarded-For is
    believed. `management_host` and `management_port` serve metrics, and health once more.
    `drain_seconds`: between the end of readiness and that of listening, for a balancer to notice.
    """

    console_edge_url: str = "http://127.0.0.1:8080"
    proxy_key: SecretStr | None = None
    console_keys: SecretStr
    trusted_proxies: str = ""
    management_host: str = "127.0.0.1"
    management_port: int = 8082
    drain_seconds: float = Field(default=0, ge=0, le=60)

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
