"""The five processes of the product, each with no more in its environment than it needs."""

import os
import sys
from pathlib import Path

from tenantry.keys import SERVICES
from tenantry.loopback import HOST, is_ready
from tenantry.process import Program
from tenantry.servers import Servers
from tenantry.supervisor import Duty

PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "TZ",
    "TENANTRY_AUDIT_RETENTION_DAYS",
    "TENANTRY_RATE_LIMIT",
    "TENANTRY_LOG_LEVEL",
)


def duty_of(name: str, servers: Servers, port: int) -> Duty:
    """A service, or the edge."""
    env = {
        **base_environment(),
        "TENANTRY_NATS_URL": servers.nats_url(name),
        "TENANTRY_HTTP_HOST": HOST,
        "TENANTRY_HTTP_PORT": str(port),
        **(_of_a_service(name, servers) if name in SERVICES else _of_the_edge(servers)),
    }
    return Duty(python_program(name, (name,), env, servers), lambda: is_ready(port))


def migration(servers: Servers) -> Program:
    urls = {
        f"TENANTRY_{service.upper()}_MIGRATION_URL": servers.migration_url(service)
        for service in SERVICES
    }
    return python_program(
        "migrate", ("tenantry", "migrate"), {**base_environment(), **urls}, servers
    )


def bootstrap(servers: Servers) -> Program:
    env = {**base_environment(), "TENANTRY_NATS_ADMIN_URL": servers.nats_url("admin")}
    return python_program("bootstrap", ("tenantry", "bootstrap"), env, servers)


def base_environment() -> dict[str, str]:
    env = {
        name: value
        for name, value in os.environ.items()
        if name in PASSED_ON or name.startswith("OTEL_")
    }
    if folders := os.environ.get("PYTHONPATH"):
        env["PYTHONPATH"] = os.pathsep.join(
            str(Path(folder).absolute()) for folder in folders.split(os.pathsep)
        )
    return env


def python_program(
    name: str, module: tuple[str, ...], env: dict[str, str], servers: Servers
) -> Program:
    """`-P` keeps a file of the caller's folder from being taken for a module of the same name."""
    argv = (sys.executable, "-P", "-m", *module)
    return Program(
        name=name, argv=argv, env=env, log=servers.data.log(name), lock=servers.data.lock
    )


def _of_a_service(name: str, servers: Servers) -> dict[str, str]:
    env = {
        "TENANTRY_HASH_KEY": servers.secrets.hash_key,
        "TENANTRY_DATABASE_URL": servers.database_url(name),
        "TENANTRY_ENCRYPTION_KEYS": servers.secrets.encryption_keys,
    }
    if name == "webhooks":
        env["TENANTRY_WEBHOOKS_ALLOW_PRIVATE"] = os.environ.get(
            "TENANTRY_WEBHOOKS_ALLOW_PRIVATE", "true"
        )
    return env


def _of_the_edge(servers: Servers) -> dict[str, str]:
    redis = {"TENANTRY_REDIS_URL": servers.redis_url} if servers.redis_url else {}
    return {"TENANTRY_OPERATOR_KEY": servers.secrets.operator_key, **redis}
