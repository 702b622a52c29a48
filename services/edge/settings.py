"""Settings of the edge."""

import json
import re
from typing import Annotated

from chassis.settings import ProcessSettings, is_guessable
from contracts.quotas import QuotaName, QuotaValue
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

_RATE = re.compile(r"(\d{1,7})/(second|minute)")


class EdgeSettings(ProcessSettings):
    """`operator_key`: the operator's credential, at least 32 characters; only its hash is kept.

    `rate_limit`: `<count>/<second|minute>` for each credential, in bursts of twice that.
    `trusted_proxies`: addresses, separated by commas, whose X-Forwarded-For is believed.
    `quotas`: JSON, those of all tenants that differ from `contracts.quotas`.
    `drain_seconds`: between the end of readiness and that of listening, for a balancer to notice.
    """

    redis_url: SecretStr | None = None
    operator_key: SecretStr
    rate_limit: str = "100/second"
    trusted_proxies: str = ""
    quotas: Annotated[dict[QuotaName, QuotaValue], NoDecode] = {}
    drain_seconds: float = Field(default=0, ge=0, le=60)

    @field_validator("operator_key")
    @classmethod
    def _long(cls, value: SecretStr) -> SecretStr:
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

    @field_validator("rate_limit")
    @classmethod
    def _rate(cls, value: str) -> str:
        found = _RATE.fullmatch(value)
        if not found or int(found[1]) < 1:
            raise ValueError("must look like 100/second or 600/minute")
        return value

    @property
    def rate(self) -> tuple[int, int]:
        """How many requests in how many seconds."""
        count, unit = self.rate_limit.split("/")
        return int(count), 1 if unit == "second" else 60
