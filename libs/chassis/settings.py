"""Settings of a process: its environment, else files; names begin with TENANTRY_; checked at start.

A missing or weak one stops the process with a sentence that names it.
"""

import base64
import binascii
import os
import sys
from typing import Any, ClassVar, TypeVar

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from chassis.tls import with_files

SECRETS_DIR = "TENANTRY_SECRETS_DIR"
"""A folder of files named like the variables, in lower case, for what the environment lacks."""


class HttpSettings(BaseSettings):
    """What every process needs. `http_port` serves health and metrics."""

    model_config = SettingsConfigDict(env_prefix="TENANTRY_", extra="ignore", frozen=True)

    http_host: str = "127.0.0.1"
    http_port: int = 8080
    log_level: str = "INFO"


class ProcessSettings(HttpSettings):
    """What a process needs that talks over NATS: `nats_url`, several for a cluster, by commas.

    `nats_ca_file` and the other two: see `with_files`.
    """

    nats_ca_file: str | None = None
    nats_cert_file: str | None = None
    nats_key_file: str | None = None
    nats_url: str = Field(default="nats://127.0.0.1:4222", validate_default=True)

    @field_validator("nats_url")
    @classmethod
    def _one_user(cls, value: str, info: ValidationInfo) -> str:
        # The console reads settings too, and has no NATS.
        from chassis.nats_client import parse_nats_urls

        parse_nats_urls(value)
        return with_files(value, "nats", info.data)


class RedisSettings(HttpSettings):
    """What a process needs that may use Redis."""

    redis_ca_file: str | None = None
    redis_cert_file: str | None = None
    redis_key_file: str | None = None
    redis_url: SecretStr | None = None

    @field_validator("redis_url")
    @classmethod
    def _tls(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        return SecretStr(with_files(value.get_secret_value(), "redis", info.data))


class ServiceSettings(ProcessSettings):
    """What every service with a database needs besides, its keys being its own alone.

    `hash_keys`: `id:base64` of at least 32 bytes each, separated by commas, key the hashes of
    secrets; the first hashes, all verify. `encryption_keys`: the same with 32 bytes each; the first
    encrypts, all decrypt; a service that does not `encrypt` needs none. `hash_key` is that of
    version 0.1, base64 without an id: where it is set, it is the last of the hash keys.
    `replica_url`: a standby of the database, for lists while it lags so many seconds at most.
    """

    encrypts: ClassVar[bool] = True

    database_ca_file: str | None = None
    database_cert_file: str | None = None
    database_key_file: str | None = None
    database_url: str
    database_pool: int = 10
    replica_url: str | None = None
    replica_max_lag_seconds: float = Field(default=5.0, gt=0)
    hash_key: SecretStr | None = None
    hash_keys: SecretStr | None = Field(default=None, validate_default=True)
    encryption_keys: SecretStr | None = Field(default=None, validate_default=True)

    @field_validator("database_url", "replica_url")
    @classmethod
    def _tls(cls, value: str | None, info: ValidationInfo) -> str | None:
        return with_files(value, "database", info.data) if value else value

    @field_validator("hash_key")
    @classmethod
    def _strong(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        key = decode_key(value.get_secret_value())
        if len(key) < 32 or is_guessable(key):
            raise ValueError("must be the base64 of at least 32 random bytes")
        return value

    @field_validator("hash_keys")
    @classmethod
    def _hashing(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None:
            parse_keys(value.get_secret_value())
        elif info.data.get("hash_key", value) is None:
            raise ValueError(f"is required: {KEYS_FORM}")
        return value

    @field_validator("encryption_keys")
    @classmethod
    def _encrypting(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_encryption_keys(value.get_secret_value())
        elif cls.encrypts:
            raise ValueError(f"is required: {KEYS_FORM}")
        return value

    def all_hash_keys(self) -> list[tuple[str, bytes]]:
        """The prefix of the hashes of each key, and the key; the first one hashes."""
        keys: list[tuple[str, bytes]] = []
        if self.hash_keys is not None:
            named = parse_keys(self.hash_keys.get_secret_value())
            keys += [(f"{name}.", key) for name, key in named.items()]
        if self.hash_key is not None:
            keys.append(("", decode_key(self.hash_key.get_secret_value())))
        return keys


KEYS_FORM = "id:base64 of 32 random bytes, separated by commas"


def parse_keys(text: str) -> dict[str, bytes]:
    """The keys by their ids, in order. Raises ValueError, with no key in it."""
    keys: dict[str, bytes] = {}
    for entry in text.split(","):
        name, _, encoded = entry.partition(":")
        key = decode_key(encoded)
        if not name or "." in name or len(key) < 32 or is_guessable(key):
            raise ValueError(f"must be {KEYS_FORM}")
        if name in keys:
            raise ValueError(f"names two keys {name}: one of them could not be used")
        keys[name] = key
    return keys


def parse_encryption_keys(text: str) -> dict[str, bytes]:
    """The same of keys of AES-256, which have 32 bytes exactly."""
    keys = parse_keys(text)
    if any(len(key) != 32 for key in keys.values()):
        raise ValueError(f"must be {KEYS_FORM}")
    return keys


def decode_key(encoded: str) -> bytes:
    """The bytes of a base64 key; empty when it is not base64."""
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return b""


def is_guessable(key: bytes) -> bool:
    """Whether hardly any byte differs from the others: nothing random of 32 bytes is like that."""
    return len(set(key)) < 8


S = TypeVar("S", bound=HttpSettings)


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
