"""Servers that all tests of one process share (real PostgreSQL, NATS and Redis), and what several
processes of one run (`pytest -n 2 --dist loadgroup`) share out.
"""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from support.figures import FIGURES
from support.servers import servers_on
from tenantry.servers import Servers

# How long examples take says how busy the machine is.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


HERE = Path(__file__).parent
ONE_PRODUCT = ("console_pages", "contract", "sdk", "security")
"""Folders whose tests share one running product, so one process runs them all."""


def pytest_configure() -> None:
    """What tests start is to hear Ctrl-C: in the background a shell has its children ignore it.

    Tests say which events there are: a checkpoint each minute would be one more.
    """
    os.environ.setdefault("TENANTRY_AUDIT_CHECKPOINT_SECONDS", "86400")
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Groups them for the processes of a run: xdist reads the groups after this."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        path = item.path.relative_to(HERE)
        group = path.parts[0] if path.parts[0] in ONE_PRODUCT else path.as_posix()
        item.add_marker(pytest.mark.xdist_group(group))


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
