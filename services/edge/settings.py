"""Settings of the edge."""

import json
import re
from typing import Annotated

from chassis.client_addresses import TrustedProxies
from chassis.client_limits import MEBIBYTE, ClientLimits
from chassis.settings import ProcessSettings, RedisSettings, is_guessable
from contracts.quotas import QuotaName, QuotaValue
from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import NoDecode

TENANT_RATES = 5
"""The limit of a tenant in limits of a credential, if it is not given."""
_SECOND = ("operator_key_2", "proxy_key_2")
_RATE = re.compile(r"(\d{1,7})/(second|minute)")


class EdgeSettings(ProcessSettings, RedisSettings):
    """`operator_key`: the operator's credential, at least 32 characters; only its hash is kept.
    `operator_key_2`, `proxy_key_2`: accepted as well, while a key is rotated.

    `rate_limit`: `<count>/<second|minute>` for each credential, in bursts of twice that;
    `tenant_rate_limit` for all of a tenant together, five times that if it is not given.
    `trusted_proxies`: addresses and networks, separated by commas, whose X-Forwarded-For is
    believed; so is that of who sends `proxy_key`, as the console does.
    `management_host` and `management_port` serve metrics, and health once more.
    `connections` and `client_memory_mib` are bounds of all clients and, with `_per_address` and
    `_per_proxy`, of one.
    `console_url`: the address of the console, to which `/` sends browsers.
    `quotas`: JSON, those of all tenants that differ from `contracts.quotas`.
    `drain_seconds`: between the end of readiness and that of listening, for a balancer to notice.
    """

    operator_key: SecretStr
    operator_key_2: SecretStr | None = None
    rate_limit: str = "100/second"
    tenant_rate_limit: str | None = None
    trusted_proxies: str = ""
    proxy_key: SecretStr | None = None
    proxy_key_2: SecretStr | None = None
    management_host: str = "127.0.0.1"
    management_port: int = 8081
    console_url: str | None = None
    connections: int = Field(default=ClientLimits.connections, ge=1)
    connections_per_address: int = Field(default=ClientLimits.connections_per_address, ge=1)
    connections_per_proxy: int = Field(default=ClientLimits.connections_per_proxy, ge=1)
    client_memory_mib: int = Field(default=ClientLimits.memory // MEBIBYTE, ge=1)
    client_memory_mib_per_address: int = Field(
        default=ClientLimits.memory_per_address // MEBIBYTE, ge=1
    )
    quotas: Annotated[dict[QuotaName, QuotaValue], NoDecode] = {}
    drain_seconds: float = Field(default=0, ge=0, le=60)

    @field_validator("operator_key", "operator_key_2", "proxy_key", "proxy_key_2")
    @classmethod
    def _long(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None or (not value.get_secret_value() and info.field_name in _SECOND):
            return None
        key = value.get_secret_value()
        if len(key) < 32 or is_guessable(key.encode()):
            raise ValueError("must be 32 random characters at least: openssl rand -base64 32")
        return value

    @field_validator("quotas", mode="before")
    @classmethod
    def _json(cls, value: object) -> object:
        try:
            return json.loads(value or "{}") if isinstance(value, str) else value
        except ValueError:
            raise ValueError('must be JSON such as {"webhooks": 200}') from None

    @field_validator("rate_limit", "tenant_rate_limit")
    @classmethod
    def _rate(cls, value: str | None) -> str | None:
        found = _RATE.fullmatch(value or "1/second")
        if not found or int(found[1]) < 1:
            raise ValueError("must look like 100/second or 600/minute")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies(cls, value: str) -> str:
        TrustedProxies(value)
        return value

    @property
    def proxies(self) -> TrustedProxies:
        """Whose X-Forwarded-For is believed."""
        keys = (self.proxy_key, self.proxy_key_2)
        return TrustedProxies(self.trusted_proxies, [k.get_secret_value() for k in keys if k])

    @property
    def rate(self) -> tuple[int, int]:
        """How many requests in how many seconds."""
        return _parse_rate(self.rate_limit)

    @property
    def tenant_rate(self) -> tuple[int, int]:
        """How many requests of a tenant in how many seconds."""
        if self.tenant_rate_limit:
            return _parse_rate(self.tenant_rate_limit)
        count, seconds = self.rate
        return TENANT_RATES * count, seconds

    @property
    def client_limits(self) -> ClientLimits:
        """What clients may hold of the API's port."""
        return ClientLimits(
            self.connections,
            self.connections_per_address,
            self.connections_per_proxy,
            self.client_memory_mib * MEBIBYTE,
            self.client_memory_mib_per_address * MEBIBYTE,
        )


def _parse_rate(rate: str) -> tuple[int, int]:
    count, unit = rate.split("/")
    return int(count), 1 if unit == "second" else 60
