"""A missing or weak setting stops the process at once: a line names it, and not its value."""

import asyncio
import base64
import os
import sys
from pathlib import Path

import pytest
from chassis.settings import ProcessSettings, ServiceSettings, load
from edge.settings import EdgeSettings
from webhooks.settings import WebhooksSettings

STRONG = base64.b64encode(bytes(range(32))).decode()
SERVICE = {
    "TENANTRY_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
    "TENANTRY_HASH_KEY": STRONG,
    "TENANTRY_ENCRYPTION_KEYS": f"k1:{STRONG}",
}
EDGE = {"TENANTRY_OPERATOR_KEY": STRONG}
WEAK = {
    "TENANTRY_HASH_KEY": ["", "secret", "not base64!" * 5, "c2hvcnQ=", "A" * 43 + "="],
    "TENANTRY_ENCRYPTION_KEYS": [
        "", STRONG, f":{STRONG}", "k1:", "k1:c2hvcnQ=", f"k1:{STRONG},", f"k1:{STRONG},k1:{STRONG}",
        f"k.1:{STRONG}", f"k1:{'A' * 43}=", f"k1:{STRONG}AAAA",
    ],
    "TENANTRY_OPERATOR_KEY": ["", "admin", "x" * 31, "x" * 64, "changeme" * 4],
}  # fmt: skip
NEEDED = {"edge": EDGE, "projects": SERVICE, "webhooks": SERVICE}
SETTINGS: dict[str, type[ProcessSettings]] = {
    "edge": EdgeSettings,
    "projects": ServiceSettings,
    "webhooks": WebhooksSettings,
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
    code, said = await start("projects", {"TENANTRY_HASH_KEY": "secret"})
    assert code == 78
    assert {line.partition(":")[0] for line in said.splitlines()} == set(SERVICE)
    assert await start("edge", {}) == (78, "TENANTRY_OPERATOR_KEY: Field required\n")


def test_keys_may_stand_in_files(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, value in SERVICE.items():
        (tmp_path / name.lower()).write_text(f"{value}\n")
    monkeypatch.setenv("TENANTRY_SECRETS_DIR", str(tmp_path))
    assert load(ServiceSettings).hash_key.get_secret_value() == STRONG
    (tmp_path / "tenantry_hash_key").write_text("weak")
    with pytest.raises(SystemExit):
        load(ServiceSettings)
    assert capsys.readouterr().err.startswith("TENANTRY_HASH_KEY: ")
