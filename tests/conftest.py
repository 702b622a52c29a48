"""What all tests of one process share: servers (real PostgreSQL, NATS and Redis), and one running
product with a tenant for each test; and what several processes of one run (`make test JOBS=2`)
share out.
"""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar
from hypothesis import HealthCheck, settings
from support.api import Api, new_tenant
from support.figures import FIGURES
from support.servers import servers_on
from support.stack import Stack, running_stack
from tenantry.servers import Servers

# How long examples take says how busy the machine is.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_configure() -> None:
    """What tests start is to hear Ctrl-C and a lost terminal: a shell in the background and `nohup`
    have their children ignore them.

    Tests say which events there are: a checkpoint each minute would be one more.
    """
    os.environ.setdefault("TENANTRY_AUDIT_CHECKPOINT_SECONDS", "86400")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)  # as before, but not for what is started


def pytest_sessionfinish(session: pytest.Session) -> None:
    if output := getattr(session.config, "workeroutput", None):
        output["figures"] = dict(FIGURES)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    FIGURES.update(getattr(node, "workeroutput", {}).get("figures", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, count in sorted(FIGURES.items()):
        terminalreporter.write_line(f"{name}: {count}")


@pytest.fixture(scope="session")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """PostgreSQL, NATS and Redis on a folder of their own."""
    folder: Path = tmp_path_factory.mktemp("servers")
    async with servers_on(folder) as running:
        yield running


@pytest.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """For tests that leave it as it was: what they kill is there again."""
    folder = tmp_path_factory.mktemp("stack")
    async with running_stack(folder, "--no-demo", TENANTRY_RATE_LIMIT="100000/second") as running:
        yield running


@pytest.fixture(scope="session")
async def http() -> AsyncIterator[ClientSession]:
    timeout = ClientTimeout(total=60)
    async with ClientSession(cookie_jar=DummyCookieJar(), timeout=timeout) as session:
        yield session


@pytest.fixture
def operator(stack: Stack, http: ClientSession) -> Api:
    return Api(http, stack.url, stack.ready["operator_key"])


@pytest.fixture
async def api(stack: Stack, http: ClientSession) -> Api:
    """Called as the root key of a fresh tenant."""
    return await new_tenant(http, stack.url, stack.ready["operator_key"])


@pytest.fixture
def anyone(stack: Stack, http: ClientSession) -> Api:
    """Called without a credential."""
    return Api(http, stack.url)
