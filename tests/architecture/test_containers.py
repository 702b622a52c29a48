"""docker-compose.yml and .env: bounded, hardened, and in step with what they configure."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from audit.settings import AuditSettings
from chassis.settings import ServiceSettings
from console.settings import ConsoleSettings
from contracts.topology import SERVICE_NAMES
from tenantry.data_folder.secrets import NATS_USERS, POSTGRES_ROLES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
SERVICES: dict[str, Any] = yaml.safe_load(TEXT)["services"]
OURS = {name: each for name, each in SERVICES.items() if each["image"].startswith("tenantry/")}
ENV = ROOT / "deploy" / "make_env.py"
PROCESSES = (*SERVICE_NAMES, "edge", "console")
SET_BY_USERS = {
    "TENANTRY_AUDIT_ORIGIN",
    "TENANTRY_AUDIT_WITNESSES",
    "TENANTRY_PORT",
    "TENANTRY_CONSOLE_PORT",
    "TENANTRY_CONSOLE_URL",
    "TENANTRY_QUOTAS",
    "TENANTRY_RATE_LIMIT",
    "TENANTRY_DRAIN_SECONDS",
    "TENANTRY_WEBHOOKS_ALLOW_PRIVATE",
}
"""Each has a value to fall back on."""


def made(file: Path) -> dict[str, str]:
    runpy.run_path(str(ENV))["main"](file)
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


@pytest.mark.parametrize("service", SERVICES)
def test_none_takes_more_than_its_share(service: str) -> None:
    each = SERVICES[service]
    assert each["mem_limit"]
    assert each["pids_limit"]
    assert each["security_opt"] == ["no-new-privileges:true"]
    assert each["logging"]["options"]["max-size"]


@pytest.mark.parametrize("service", OURS)
def test_ours_have_no_right_that_they_do_not_need(service: str) -> None:
    assert OURS[service]["read_only"] is True
    assert OURS[service]["cap_drop"] == ["ALL"]


def test_edge_and_console_alone_are_to_be_reached_and_from_this_machine_alone() -> None:
    published = {name: each["ports"] for name, each in SERVICES.items() if "ports" in each}
    assert set(published) == {"edge", "console"}
    assert all(each.startswith("127.0.0.1:") for ports in published.values() for each in ports)


def test_the_console_reaches_the_edge_and_redis_alone() -> None:
    shared = set(SERVICES["console"]["networks"]) - {"outside"}
    beside = {name for name, each in SERVICES.items() if shared & set(each.get("networks", ()))}
    assert beside == {"console", "edge", "redis", "tenantry"}
    networks: dict[str, Any] = yaml.safe_load(TEXT)["networks"]
    assert [name for name in networks if not networks[name]] == ["outside"]


@pytest.mark.parametrize("process", PROCESSES)
def test_every_process_can_send_traces(process: str) -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    documented = set(re.findall(r"`(OTEL_\w+)`", page))
    passed_on = {name for name in SERVICES[process]["environment"] if name.startswith("OTEL_")}
    assert passed_on == documented


def secrets_of(service: str) -> str | None:
    """The folder of files that the container may read."""
    for volume in SERVICES[service].get("volumes", ()):
        if isinstance(volume, dict) and volume["target"] == "/run/secrets":
            assert volume["read_only"] is True
            assert volume["bind"] == {"create_host_path": False}
            return str(volume["source"]).rpartition("/")[2]
    return None


def test_every_user_of_a_server_has_a_password_there(tmp_path: Path) -> None:
    made(tmp_path / "env")
    nats, postgres = (
        {file.name for file in (tmp_path / "secrets" / name).iterdir()}
        for name in ("nats", "postgres")
    )
    assert {f"tenantry_nats_password_{user}" for user in NATS_USERS} == nats
    roles = {f"tenantry_postgres_password_{role}" for role in POSTGRES_ROLES[1:]}
    assert {*roles, "postgres_password"} == postgres


def test_no_secret_stands_in_the_environment_of_a_container(tmp_path: Path) -> None:
    secret = {name for name, value in made(tmp_path / "env").items() if len(value) > 20}
    used = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", TEXT))
    assert used & secret == set()
    assert used == {*SET_BY_USERS, "TENANTRY_SECRETS"}
    for name, each in SERVICES.items():
        kept = [key for key in each.get("environment", ()) if re.search("PASSWORD$|KEY", key)]
        assert kept == [], name


def test_each_container_reads_the_secrets_that_it_needs_and_no_others(tmp_path: Path) -> None:
    values = made(tmp_path / "env")
    folders = {name: secrets_of(name) for name in SERVICES}
    assert None not in folders.values()
    files = {
        name: {file.name: file.read_text() for file in (tmp_path / "secrets" / folder).iterdir()}
        for name, folder in folders.items()
        if folder is not None
    }
    assert {path.name for path in (tmp_path / "secrets").iterdir()} == set(folders.values())
    for name in SERVICE_NAMES:
        kind = AuditSettings if name == "audit" else ServiceSettings
        loaded = kind(_secrets_dir=str(tmp_path / "secrets" / name))  # type: ignore[call-arg]
        mine = values[f"TENANTRY_POSTGRES_PASSWORD_{name.upper()}"]
        assert loaded.database_url == f"postgresql://{name}:{mine}@postgres/{name}"
        for other in set(SERVICE_NAMES) - {name}:
            theirs = values[f"TENANTRY_POSTGRES_PASSWORD_{other.upper()}"]
            assert theirs not in "".join(files[name].values())
    for name in ("edge", "welcome", "demo", "tenantry"):
        assert files[name]["tenantry_operator_key"] == values["TENANTRY_OPERATOR_KEY"]
    folder = str(tmp_path / "secrets" / "console")
    console = ConsoleSettings(_secrets_dir=folder)  # type: ignore[call-arg]
    key = console.proxy_key.get_secret_value() if console.proxy_key else None
    assert key == values["TENANTRY_PROXY_KEY"] == files["edge"]["tenantry_proxy_key"]
    assert set(files["console"]) == {
        "tenantry_console_keys", "tenantry_proxy_key", "tenantry_redis_url"
    }  # fmt: skip
    assert values["REDIS_PASSWORD"] not in files["console"]["tenantry_redis_url"]
    knows_sessions = [name for name in files if "tenantry_console_keys" in files[name]]
    assert knows_sessions == ["console"]
    assert set(files["bootstrap"]) == {"tenantry_nats_admin_url"}
    assert all(name.endswith("_migration_url") for name in files["migrate"])


def test_secrets_are_for_the_containers_and_their_owner_alone(tmp_path: Path) -> None:
    made(tmp_path / "env")
    folder = tmp_path / "secrets"
    assert folder.stat().st_mode & 0o777 == 0o700
    modes = {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}
    assert modes == {0o644}


def test_monitoring_of_nats_is_reached_from_its_own_container_alone() -> None:
    assert not {"-m", "--http_port"} & set(SERVICES["nats"].get("command", ()))
    text = (ROOT / "deploy" / "nats" / "compose.conf").read_text()
    assert 'http: "127.0.0.1:8222"' in text


def test_images_of_others_have_an_exact_version() -> None:
    images = [each["image"] for name, each in SERVICES.items() if name not in OURS]
    images += re.findall(r"^FROM (\S+)", (ROOT / "deploy" / "Dockerfile").read_text(), re.MULTILINE)
    assert len(images) == 5
    for image in images:
        assert re.search(r"@sha256:|:\d+\.\d+(\.\d+)?-", image), image


def test_what_is_missing_is_added_and_what_stands_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("REDIS_PASSWORD=mine\n# COMPOSE_PROFILES=welcome")
    lines = file.read_text().splitlines()
    made_new = made(file)
    assert file.read_text().splitlines()[:2] == lines
    assert made_new["REDIS_PASSWORD"] == "mine"
    assert "COMPOSE_PROFILES" not in made_new
    assert len(made_new["TENANTRY_NATS_PASSWORD_SUBSCRIBER"]) > 40
    before = file.read_text()
    made(file)
    assert file.read_text() == before


def test_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    made(tmp_path / "env")
    assert (tmp_path / "env").stat().st_mode & 0o777 == 0o600
