"""Runs beside each other do not take one another's ports, even of servers that are down."""

import subprocess
import sys
from itertools import cycle

import pytest
from tenantry.servers import ports

CLAIM = "from tenantry.servers.ports import free_ports; print(*free_ports(3), flush=True); input()"


def test_a_port_is_returned_once_on_the_machine_while_its_process_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    argv = [sys.executable, "-c", CLAIM]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = [int(port) for port in other.stdout.readline().split()]
        ours = ports.free_ports(1)
        monkeypatch.setattr(ports, "_claimed", set())
        monkeypatch.setattr(ports, "_candidates", cycle([*theirs, *ours, *ports.BELOW_EPHEMERAL]))
        (free,) = ports.free_ports(1)
        assert free not in {*theirs, *ours}
        other.communicate("\n")
    monkeypatch.setattr(ports, "_candidates", iter(theirs))
    assert sorted(ports.free_ports(3)) == sorted(theirs)
