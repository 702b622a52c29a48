"""Settings of a process: its environment, else files; names begin with TENANTRY_; checked at start.

A missing or weak one stops the process with a sentence that names it.
"""

import base64
import binascii
import os
import sys
from typing import Any, TypeVar

from pydantic import SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from chassis.nats_client import parse_nats_urls

SECRETS_DIR = "TENANTRY_SECRETS_DIR"
"""A folder of files named like the variables, in lower case, for what the environment lacks."""


class ProcessSettings(BaseSettings):
    """What every process needs. Addresses are URLs, `nats_url` is several for a cluster, by commas;
    `http_port` serves health and metrics.
    """

    model_config = SettingsConfigDict(env_prefix="TENANTRY_", extra="ignore", frozen=True)

    nats_url: str = "nats://127.0.0.1:4222"
    http_host: str = "127.0.0.1"
    http_port: int = 8080
    log_level: str = "INFO"

    @field_validator("nats_url")
    @classmethod
    def _one_user(cls, value: str) -> str:
        parse_nats_urls(value)
        return value


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
        key = decode_key(value.get_secret_value())
        if len(key) < 32 or is_guessable(key):
            raise ValueError("must be the base64 of at least 32 random bytes")
        return value

    @field_validator("encryption_keys")
    @classmethod
    def _keyed(cls, value: SecretStr) -> SecretStr:
        names = set()
        for entry in value.get_secret_value().split(","):
            name, _, text = entry.partition(":")
            key = decode_key(text)
            if not name or "." in name or len(key) != 32 or is_guessable(key):
                raise ValueError("must be id:base64 of 32 random bytes, separated by commas")
            if name in names:
                raise ValueError(f"names two keys {name}: one of them could not be used")
            names.add(name)
        return value


def decode_key(encoded: str) -> bytes:
    """The bytes of a base64 key; empty when it is not base64."""
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return b""


def is_guessable(key: bytes) -> bool:
    """Whether hardly any byte differs from the others: nothing random of 32 bytes is like that."""
    return len(set(key)) < 8


S = TypeVar("S", bound=ProcessSettings)


def load(kind: type[S]) -> S:
    """The settings, or the end of the process with one line for each that is wrong."""
    files: dict[str, Any] = {"_secrets_dir": os.environ.get(SECRETS_DIR)}
    try:
        return kind(**files)
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False):
            name = "TENANTRY_" + "_".join(str(part) for part in fault["loc"]).upper()
            sys.stderr.write(f"{name}: {fault['msg']}\n")
        raise SystemExit(78) from None  # EX_CONFIG of sysexits.h
