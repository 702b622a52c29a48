"""Secrets of an installation that began with an older release."""

import base64
import hashlib
import hmac
import json
import runpy
import sys
from pathlib import Path

import pytest
from chassis.encryption import Keyring, SecretId
from chassis.settings import ServiceSettings
from contracts.topology import ENCRYPTING_SERVICES, SERVICE_NAMES
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tenantry.data_folder.secrets import NATS_USERS, load_or_create


def test_a_user_of_nats_that_is_new_gets_a_password_and_the_others_keep_theirs(
    tmp_path: Path,
) -> None:
    path = tmp_path / "secrets.json"
    before = load_or_create(path)
    content = json.loads(path.read_text())
    del content["nats"]["subscriber"]
    path.write_text(json.dumps(content))
    found = load_or_create(path)
    assert set(found.nats) == set(NATS_USERS)
    assert all(found.nats[user] == before.nats[user] for user in content["nats"])
    assert load_or_create(path) == found
    assert path.stat().st_mode & 0o777 == 0o600


OLD_KEY = bytes(range(100, 132))
OLD = base64.b64encode(OLD_KEY).decode()


def older_folder(path: Path) -> Path:
    """The secrets of a data folder of version 0.1."""
    load_or_create(path)
    content = json.loads(path.read_text())
    del content["hash_keys"]
    path.write_text(json.dumps({**content, "hash_key": OLD, "encryption_keys": f"k1:{OLD}"}))
    return path


def keyring_of(hash_keys: str, encryption_keys: str | None, hash_key: str | None) -> Keyring:
    names = {"hash_keys": hash_keys, "encryption_keys": encryption_keys, "hash_key": hash_key}
    return Keyring.of(ServiceSettings.model_validate({"database_url": "x", **names}))


def check_reads_what_version_0_1_wrote(keyring: Keyring) -> None:
    hashed = hmac.new(OLD_KEY, b"api_key\0abc", hashlib.sha256).hexdigest()
    assert hashed in keyring.hashes("api_key", "abc")
    assert keyring.hash("api_key", "abc") != hashed, "a key of the service's own hashes"
    sealed = bytes(12) + AESGCM(OLD_KEY).encrypt(bytes(12), b"private", b"signing_key:sgk_1")
    secret = SecretId("signing_key", "ten_1", "sgk_1")
    older = f"k1.{base64.urlsafe_b64encode(sealed).decode()}"
    assert keyring.decrypt(older, secret) == b"private"
    assert keyring.decrypt(keyring.reencrypt(older, secret), secret) == b"private"
    assert not keyring.reencrypt(older, secret).startswith("k1.")


def test_a_folder_of_version_0_1_gets_keys_for_each_service_and_keeps_the_old_ones(
    tmp_path: Path,
) -> None:
    path = older_folder(tmp_path / "secrets.json")
    found = load_or_create(path)
    assert set(found.hash_keys) == set(SERVICE_NAMES)
    assert set(found.encryption_keys) == set(ENCRYPTING_SERVICES)
    assert len(set(found.hash_keys.values())) == len(SERVICE_NAMES)
    for service in ENCRYPTING_SERVICES:
        keys = found.hash_keys[service], found.encryption_keys[service], found.hash_key
        check_reads_what_version_0_1_wrote(keyring_of(*keys))
    assert load_or_create(path) == found


def test_an_env_of_version_0_1_gets_keys_for_each_service_and_keeps_the_old_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = tmp_path / ".env"
    env.write_text(f"TENANTRY_HASH_KEY={OLD}\nTENANTRY_ENCRYPTION_KEYS=k1:{OLD}\n")
    script = Path(__file__).parents[2] / "deploy" / "make_env.py"
    monkeypatch.setattr(sys, "argv", [str(script), str(env)])
    for _ in range(2):
        with pytest.raises(SystemExit):
            runpy.run_path(str(script), run_name="__main__")
    lines = env.read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines)
    assert len(values) == len(lines), "no name twice"
    assert values["TENANTRY_HASH_KEY"] == OLD
    for service in map(str.upper, ENCRYPTING_SERVICES):
        keys = (
            values[f"TENANTRY_{service}_HASH_KEYS"],
            values[f"TENANTRY_{service}_ENCRYPTION_KEYS"],
        )
        check_reads_what_version_0_1_wrote(keyring_of(keys[0], keys[1], OLD))
    assert "TENANTRY_AUDIT_ENCRYPTION_KEYS" not in values


def test_by_the_keys_of_version_0_1_alone_is_written_what_it_reads() -> None:
    env = {"database_url": "x", "hash_key": OLD, "encryption_keys": f"k1:{OLD}"}
    keyring = Keyring.of(ServiceSettings.model_validate(env))
    hashed = hmac.new(OLD_KEY, b"api_key\0abc", hashlib.sha256).hexdigest()
    assert keyring.hash("api_key", "abc") == hashed
    secret = SecretId("signing_key", "ten_1", "sgk_1")
    written = keyring.encrypt(b"private", secret)
    name, text = written.split(".")
    sealed = base64.urlsafe_b64decode(text)
    assert name == "k1"
    assert AESGCM(OLD_KEY).decrypt(sealed[:12], sealed[12:], b"signing_key:sgk_1") == b"private"
    assert keyring.decrypt(written, secret) == b"private"
    derived = keyring.reencrypt(written, secret)
    assert derived.startswith("k1.2."), "the command that ends with 0.1 does not"
    assert keyring.decrypt(derived, secret) == b"private"
