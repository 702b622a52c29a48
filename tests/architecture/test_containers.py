"""docker-compose.yml and .env: bounded, hardened, and in step with what they configure."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from tenantry.data_folder.secrets import NATS_USERS, POSTGRES_ROLES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
SERVICES: dict[str, Any] = yaml.safe_load(TEXT)["services"]
OURS = {name: each for name, each in SERVICES.items() if each["image"].startswith("tenantry/")}
ENV = ROOT / "deploy" / "make_env.py"
SET_BY_USERS = {
    "TENANTRY_PORT",
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


def test_only_the_edge_is_to_be_reached_and_from_this_machine_alone() -> None:
    published = {name: each["ports"] for name, each in SERVICES.items() if "ports" in each}
    assert list(published) == ["edge"]
    assert all(port.startswith("127.0.0.1:") for port in published["edge"])


def test_every_user_of_a_server_has_a_password_there() -> None:
    nats, postgres = (SERVICES[name]["environment"] for name in ("nats", "postgres"))
    assert {f"TENANTRY_NATS_PASSWORD_{user.upper()}" for user in NATS_USERS} == set(nats)
    roles = {f"TENANTRY_POSTGRES_PASSWORD_{role.upper()}" for role in POSTGRES_ROLES[1:]}
    assert roles <= set(postgres)


def test_every_variable_is_made_or_may_be_absent(tmp_path: Path) -> None:
    used = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", TEXT))
    assert used - SET_BY_USERS == set(made(tmp_path / "env")) - {"COMPOSE_PROFILES"}


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
