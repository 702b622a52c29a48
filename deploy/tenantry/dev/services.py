"""The processes of the product, and the programs that prepare their start.

Each has no more in its environment than it needs.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from contracts.topology import SERVICE_NAMES

from tenantry.dev.health_probe import is_ready
from tenantry.processes.process import Program
from tenantry.processes.supervisor import ChildSpec
from tenantry.servers import Servers
from tenantry.servers.ports import HOST

_HASHED_SECRETS = ("identity", "projects")
"""They look up what the hash key of version 0.1 has hashed."""
PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "TZ",
    "TENANTRY_AUDIT_CHECKPOINT_SECONDS",
    "TENANTRY_AUDIT_ORIGIN",
    "TENANTRY_AUDIT_RETENTION_DAYS",
    "TENANTRY_AUDIT_WITNESSES",
    "TENANTRY_CLIENT_MEMORY_MIB",
    "TENANTRY_CLIENT_MEMORY_MIB_PER_ADDRESS",
    "TENANTRY_CONNECTIONS",
    "TENANTRY_CONNECTIONS_PER_ADDRESS",
    "TENANTRY_CONNECTIONS_PER_PROXY",
    "TENANTRY_RATE_LIMIT",
    "TENANTRY_SUBSCRIBERS",
    "TENANTRY_TENANT_RATE_LIMIT",
    "TENANTRY_LOG_LEVEL",
)


MANAGEMENT = {"edge": "edge-management", "console": "console-management"}
"""The names of second ports."""


def child_spec(name: str, servers: Servers, ports: Mapping[str, int]) -> ChildSpec:
    """A service, the edge, or the console."""
    env = {
        **_environment(),
        "TENANTRY_HTTP_HOST": HOST,
        "TENANTRY_HTTP_PORT": str(ports[name]),
    }
    if name in MANAGEMENT:
        env["TENANTRY_MANAGEMENT_PORT"] = str(ports[MANAGEMENT[name]])
    if name == "console":
        env |= _console_settings(servers, ports)
    else:
        env["TENANTRY_NATS_URL"] = servers.nats_url(name)
        env |= (
            _edge_settings(servers, ports) if name == "edge" else _service_settings(name, servers)
        )
    program = replace(_python_program(name, (name,), env, servers), module=app_module(name))
    return ChildSpec(program, lambda: is_ready(ports[name]))


def app_module(name: str) -> str:
    """Whose `main` the process runs."""
    return f"{name}.app"


def console_url(ports: Mapping[str, int]) -> str:
    return f"http://{HOST}:{ports['console']}"


def migrate(servers: Servers, *options: str) -> Program:
    urls = {
        f"TENANTRY_{service.upper()}_MIGRATION_URL": servers.migration_url(service)
        for service in SERVICE_NAMES
    }
    argv = ("tenantry", "migrate", *options)
    return _python_program("migrate", argv, {**_environment(), **urls}, servers)


def bootstrap(servers: Servers) -> Program:
    env = {**_environment(), "TENANTRY_NATS_ADMIN_URL": servers.nats_url("admin")}
    return _python_program("bootstrap", ("tenantry", "bootstrap"), env, servers)


def erase_people(servers: Servers) -> Program:
    env = {**_environment(), "TENANTRY_NATS_ADMIN_URL": servers.nats_url("admin")}
    return _python_program("erasure", ("tenantry", "bootstrap", "--erase"), env, servers)


def create_demo_tenant(servers: Servers, ports: Mapping[str, int]) -> Program:
    """It reads the operator's key from the file of secrets, and saves there what it created, and
    beside it a one-time link to the console.
    """
    url = f"http://{HOST}:{ports['edge']}"
    needed = (str(ports["projects"]), str(ports["edge"]))
    link_file = str(servers.data.link_file) if "console" in ports else ""
    files = (str(servers.secrets.path), link_file)
    module = ("tenantry.dev.demo_tenant", url, *files, *needed)
    return _python_program("demo-tenant", module, _environment(), servers)


def _environment() -> dict[str, str]:
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


def _python_program(
    name: str, module: tuple[str, ...], env: dict[str, str], servers: Servers
) -> Program:
    """`-P` keeps a file of the caller's folder from being taken for a module of the same name."""
    argv = (sys.executable, "-P", "-m", *module)
    return Program(
        name=name, argv=argv, env=env, log=servers.data.log(name), lock=servers.data.lock
    )


def _service_settings(name: str, servers: Servers) -> dict[str, str]:
    secrets = servers.secrets
    env = {
        "TENANTRY_HASH_KEYS": secrets.hash_keys[name],
        "TENANTRY_DATABASE_URL": servers.database_url(name),
    }
    if secrets.hash_key is not None and name in _HASHED_SECRETS:
        env["TENANTRY_HASH_KEY"] = secrets.hash_key
    if name in secrets.encryption_keys:
        env["TENANTRY_ENCRYPTION_KEYS"] = secrets.encryption_keys[name]
    if name == "audit":
        env["TENANTRY_AUDIT_CHECKPOINT_SEEDS"] = secrets.checkpoint_seeds
    if name == "webhooks":
        env["TENANTRY_WEBHOOKS_ALLOW_PRIVATE"] = os.environ.get(
            "TENANTRY_WEBHOOKS_ALLOW_PRIVATE", "true"
        )
    return env


def _edge_settings(servers: Servers, ports: Mapping[str, int]) -> dict[str, str]:
    secrets = servers.secrets
    env = {
        "TENANTRY_OPERATOR_KEY": secrets.operator_key,
        "TENANTRY_PROXY_KEY": secrets.proxy_key,
        "TENANTRY_TRUSTED_PROXIES": os.environ.get("TENANTRY_TRUSTED_PROXIES", ""),
        **_redis(servers),
    }
    if "console" in ports:
        env["TENANTRY_CONSOLE_URL"] = console_url(ports)
    return env


def _console_settings(servers: Servers, ports: Mapping[str, int]) -> dict[str, str]:
    return {
        "TENANTRY_CONSOLE_EDGE_URL": f"http://{HOST}:{ports['edge']}",
        "TENANTRY_CONSOLE_KEYS": servers.secrets.console_keys,
        "TENANTRY_PROXY_KEY": servers.secrets.proxy_key,
        **_redis(servers),
    }


def _redis(servers: Servers) -> dict[str, str]:
    return {"TENANTRY_REDIS_URL": servers.redis_url} if servers.redis_url else {}
