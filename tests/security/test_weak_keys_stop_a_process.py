"""A missing or weak setting stops the process at once: a line names it, and not its value."""

import asyncio
import base64
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from audit.settings import AuditSettings
from chassis.settings import ProcessSettings, ServiceSettings, load
from edge.settings import EdgeSettings
from webhooks.settings import WebhooksSettings

LONG = base64.b64encode(bytes(range(33))).decode()
STRONG = base64.b64encode(bytes(range(32))).decode()
SERVICE = {
    "TENANTRY_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
    "TENANTRY_HASH_KEYS": f"h1:{STRONG}",
    "TENANTRY_ENCRYPTION_KEYS": f"k1:{STRONG}",
}
EDGE = {"TENANTRY_OPERATOR_KEY": STRONG}
WEAK_KEYS = [
    "", STRONG, f":{STRONG}", "k1:", "k1:c2hvcnQ=", f"k1:{STRONG},", f"k1:{STRONG},k1:{STRONG}",
    f"k.1:{STRONG}", f"k1:{'A' * 43}=",
]  # fmt: skip
WEAK = {
    "TENANTRY_HASH_KEYS": WEAK_KEYS,
    "TENANTRY_ENCRYPTION_KEYS": [*WEAK_KEYS, f"k1:{LONG}"],
    "TENANTRY_OPERATOR_KEY": ["", "admin", "x" * 31, "x" * 64, "changeme" * 4],
}  # fmt: skip
AUDIT = {name: value for name, value in SERVICE.items() if name != "TENANTRY_ENCRYPTION_KEYS"}
"""Audit stores nothing that it would have to decrypt."""
NEEDED = {"edge": EDGE, "projects": SERVICE, "webhooks": SERVICE, "audit": AUDIT}
SETTINGS: dict[str, type[ProcessSettings]] = {
    "edge": EdgeSettings,
    "projects": ServiceSettings,
    "webhooks": WebhooksSettings,
    "audit": AuditSettings,
}
CASES = [
    (process, name, value)
    for process, needed in NEEDED.items()
    for name in needed
    for value in (None, *WEAK.get(name, []))
]


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TENANTRY_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(("process", "name", "value"), CASES)
def test_a_missing_or_weak_setting_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    process: str,
    name: str,
    value: str | None,
) -> None:
    given = {**NEEDED[process], name: value}
    for each, text in given.items():
        if text is not None:
            monkeypatch.setenv(each, text)
    with pytest.raises(SystemExit) as end:
        load(SETTINGS[process])
    said = capsys.readouterr().err
    assert end.value.code == 78
    assert said.startswith(f"{name}: ")
    assert len(said.splitlines()) == 1
    assert not value or len(value) < 6 or value not in said


def test_strong_settings_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for process, needed in NEEDED.items():
        for name, value in needed.items():
            monkeypatch.setenv(name, value)
        assert load(SETTINGS[process])


async def start(process: str, environment: dict[str, str]) -> tuple[int, str]:
    """Its exit code and what it said, if it ends within half a minute."""
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", process),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(started.communicate(), 30)
    finally:
        if started.returncode is None:
            started.kill()
    return started.returncode or 0, said.decode()


async def test_all_that_is_wrong_is_named_at_once() -> None:
    code, said = await start("projects", {"TENANTRY_HASH_KEYS": "secret"})
    assert code == 78
    assert {line.partition(":")[0] for line in said.splitlines()} == set(SERVICE)
    assert await start("edge", {}) == (78, "TENANTRY_OPERATOR_KEY: Field required\n")


@pytest.mark.parametrize("named", [str.lower, str.upper])
def test_keys_may_stand_in_files(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    named: Callable[[str], str],
) -> None:
    """As Kubernetes mounts them: links to a folder that is exchanged as a whole."""
    (tmp_path / "..data").mkdir()
    for name, value in SERVICE.items():
        (tmp_path / "..data" / named(name)).write_text(f"{value}\n")
        (tmp_path / named(name)).symlink_to(Path("..data", named(name)))
    monkeypatch.setenv("TENANTRY_SECRETS_DIR", str(tmp_path))
    assert load(ServiceSettings).all_hash_keys() == [("h1.", bytes(range(32)))]
    (tmp_path / named("tenantry_hash_keys")).write_text("weak")
    with pytest.raises(SystemExit):
        load(ServiceSettings)
    assert capsys.readouterr().err.startswith("TENANTRY_HASH_KEYS: ")


def test_the_hash_key_of_version_0_1_alone_is_enough_and_hashes_as_it_did(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    named = SERVICE | {"TENANTRY_HASH_KEY": STRONG}
    del named["TENANTRY_HASH_KEYS"]
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    assert load(ServiceSettings).all_hash_keys() == [("", bytes(range(32)))]
    monkeypatch.setenv("TENANTRY_HASH_KEYS", f"h1:{LONG}")
    prefixes = [prefix for prefix, _ in load(ServiceSettings).all_hash_keys()]
    assert prefixes == ["h1.", ""], "the older one verifies"
    monkeypatch.setenv("TENANTRY_HASH_KEY", "")
    assert len(load(ServiceSettings).all_hash_keys()) == 1
    monkeypatch.setenv("TENANTRY_HASH_KEY", "weak")
    with pytest.raises(SystemExit):
        load(ServiceSettings)
    assert capsys.readouterr().err.startswith("TENANTRY_HASH_KEY: ")
