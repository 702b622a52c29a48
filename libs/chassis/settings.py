"""Settings of a process: the environment, names beginning with TENANTRY_, checked at start.

A missing or weak one stops the process with a sentence that names it.
"""

import base64
import binascii
import sys
from typing import TypeVar

from pydantic import SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ProcessSettings(BaseSettings):
    """What every process needs. Addresses are URLs; `http_port` serves health and metrics."""

    model_config = SettingsConfigDict(env_prefix="TENANTRY_", extra="ignore", frozen=True)

    nats_url: str = "nats://127.0.0.1:4222"
    http_host: str = "127.0.0.1"
    http_port: int = 8080
    log_level: str = "INFO"


class ServiceSettings(ProcessSettings):
    """What every service with a database needs besides.

    `hash_key`: base64 of at least 32 bytes, keys the hashes of secrets. `encryption_keys`:
    `id:base64` of 32 bytes each, separated by commas; the first encrypts, all decrypt.
    """

    database_url: str
    database_pool: int = 10
    hash_key: SecretStr
    encryption_keys: SecretStr

    @field_validator("hash_key")
    @classmethod
    def _strong(cls, value: SecretStr) -> SecretStr:
        if len(decode_key(value.get_secret_value())) < 32:
            raise ValueError("must be the base64 of at least 32 random bytes")
        return value

    @field_validator("encryption_keys")
    @classmethod
    def _keyed(cls, value: SecretStr) -> SecretStr:
        for entry in value.get_secret_value().split(","):
            name, _, key = entry.partition(":")
            if not name or len(decode_key(key)) != 32:
                raise ValueError("must be id:base64 of 32 random bytes, separated by commas")
        return value


def decode_key(encoded: str) -> bytes:
    """The bytes of a base64 key; empty when it is not base64."""
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return b""


S = TypeVar("S", bound=ProcessSettings)


def load(kind: type[S]) -> S:
    """The settings, or the end of the process with one line for each that is wrong."""
    try:
        return kind()
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False):
            name = "TENANTRY_" + "_".join(str(part) for part in fault["loc"]).upper()
            sys.stderr.write(f"{name}: {fault['msg']}\n")
        raise SystemExit(78) from None  # EX_CONFIG of sysexits.h
