"""Passwords and keys are rotated under load as docs/key-rotation.md says: nobody sees an error.

Two edges and two replicas of every service are restarted one after another, an edge after its
callers have gone to the other. What an operator has to type is read in the document.
"""

import asyncio
import base64
import os
import re
import secrets
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import asyncpg
import pytest
from aiohttp import ClientSession
from chaos.replicas import ReplicatedStack, second
from chaos.run import ChaosRun, chaos_run
from chaos.stack import ProxiedServers
from chassis.nats_client import connect
from contracts.topology import ENCRYPTING_SERVICES, SERVICE_NAMES
from nats.errors import Error as NatsError
from support.api import Answer, Api
from support.stack import tenantry
from support.waiting import until
from tenantry.servers import nats

# Beside other tests a slow machine answers after the two seconds that a caller has.
pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="replaces processes of a tree"),
]

DOCUMENT = (Path(__file__).parents[2] / "docs/key-rotation.md").read_text()
GRACE = ((signal.SIGTERM, 20.0),)
ERRORS = {"no answer", "500", "503", "504"}
SETTLED = 60
"""Answers to the load after each step."""

Change = Callable[[str, dict[str, str]], dict[str, str]]
"""What differs in the environment of a process of that name."""


class Servers(ProxiedServers):
    """NATS reads a configuration of its own, which can be changed."""

    @property
    def configuration(self) -> Path:
        return self.data.root / "nats.conf"

    async def start_nats(self) -> None:
        self.configuration.write_text(nats.CONFIGURATION.read_text())
        spec = nats.prepare(self.data, self.secrets, self._nats_port)
        ours = {str(nats.CONFIGURATION): str(self.configuration)}
        argv = tuple(ours.get(each, each) for each in spec.program.argv)
        await self._start(replace(spec, program=replace(spec.program, argv=argv)))


@dataclass
class Rotation:
    """A stack under load, whose callers read too, as tenants and as the operator."""

    run: ChaosRun
    stack: ReplicatedStack
    http: ClientSession
    operator_key: str
    reads: Counter[int] = field(default_factory=Counter)

    @property
    def url(self) -> str:
        """The edge that is called now."""
        return self.run.writers[0].api.url

    async def restart(self, names: Sequence[str], change: Change) -> None:
        """First one replica of each, then the other."""
        for replica in (str, second):
            await asyncio.gather(*(self._restart(replica, name, change) for name in names))
            await self.settle()

    async def _restart(self, replica: Callable[[str], str], name: str, change: Change) -> None:
        child = self.stack.children[replica(name)]
        if name == "edge":
            goes_on = self.stack.other_url if replica is str else self.stack.client_url
            for each in self.run.writers:
                each.api = replace(each.api, url=goes_on)
            await self.settle()
        await child.stop()
        env = {**child.spec.program.env, **change(name, child.spec.program.env)}
        child.spec = replace(
            child.spec, program=replace(child.spec.program, env=env), stop_steps=GRACE
        )
        await child.start()

    async def settle(self) -> None:
        """The load goes on for a while."""
        seen = self.run.load.answered

        async def more() -> bool:
            return self.run.load.answered >= seen + SETTLED

        await until(more, 60)

    @asynccontextmanager
    async def under_load(self) -> AsyncIterator[None]:
        """Raises AssertionError if anybody saw an error."""
        async with asyncio.TaskGroup() as tasks:
            reader = tasks.create_task(self._read())
            async with self.run.under_load():
                await self.settle()
                yield
                await self.settle()
            reader.cancel()
        errors = {name: n for name, n in self.run.load.answers.items() if name in ERRORS}
        assert not errors, (self.run.load.answers, self.stack.log[-20:])
        assert set(self.reads) == {200}, self.reads
        assert self.reads[200] > 50

    async def _read(self) -> None:
        tenants = {each.api.tenant: each.api for each in self.run.writers}
        while True:
            for api in tenants.values():
                await self._count(replace(api, url=self.url)("GET", "/v1/admin/users"))
            await self._count(self.as_operator()("GET", "/v1/admin/tenants?limit=1"))
            await asyncio.sleep(0.05)

    def as_operator(self) -> Api:
        return Api(self.http, self.url, self.operator_key)

    async def _count(self, answer: Awaitable[Answer]) -> None:
        self.reads[(await answer).status] += 1


@pytest.fixture(scope="module")
async def rotation(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rotation]:
    """At the end of all tests nothing is lost, doubled, or out of order."""
    folder = tmp_path_factory.mktemp("rotation")
    async with (
        chaos_run(folder, servers_of=Servers, stack_of=ReplicatedStack) as run,
        ClientSession() as http,
    ):
        stack = run.stack
        assert isinstance(stack, ReplicatedStack)
        for child in stack.children.values():
            child.spec = replace(child.spec, stop_steps=GRACE)
        yield Rotation(run, stack, http, stack.servers.secrets.operator_key)
        await run.check()
        run.assert_none()


def typed(section: str, service: str, password: str) -> list[str]:
    """The indented lines of a section of the document, for another service."""
    text = DOCUMENT.partition(f"## {section}\n")[2].partition("\n## ")[0]
    lines = [line.strip() for line in text.splitlines() if re.match(" {4,}", line)]
    return [line.replace("projects", service).replace("<new password>", password) for line in lines]


def new_password() -> str:
    return "p" + secrets.token_hex(16)


async def test_passwords_of_postgresql(rotation: Rotation) -> None:
    servers = rotation.stack.servers
    passwords = {service: new_password() for service in SERVICE_NAMES}
    steps = {
        name: typed("Rotate passwords of PostgreSQL", name, password)
        for name, password in passwords.items()
    }

    def second_role(name: str, env: dict[str, str]) -> dict[str, str]:
        old = f"//{name}:{servers.secrets.postgres[name]}@"
        new = f"//{name}_2:{passwords[name]}@"
        assert old in env["TENANTRY_DATABASE_URL"]
        return {"TENANTRY_DATABASE_URL": env["TENANTRY_DATABASE_URL"].replace(old, new)}

    admin = await asyncpg.connect(servers.superuser_url)
    try:
        async with rotation.under_load():
            for create, set_role, _, _ in steps.values():
                await admin.execute(create)
                await admin.execute(set_role)
            await rotation.restart(SERVICE_NAMES, second_role)
            for *_, count_sessions, forget_password in steps.values():
                assert await admin.fetchval(count_sessions.rstrip(";")) == 0
                await admin.execute(forget_password)
        for service in SERVICE_NAMES:
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(servers.direct_database_url(service))
            # Whoever looks into the databases at the end goes on with the first role.
            old = servers.secrets.postgres[service]
            await admin.execute(f"ALTER ROLE {service} PASSWORD '{old}'")
    finally:
        await admin.close()


async def test_passwords_of_nats(rotation: Rotation) -> None:
    servers = rotation.stack.servers
    assert isinstance(servers, Servers)
    users = (*SERVICE_NAMES, "edge")
    passwords = {user: new_password() for user in users}

    def second_user(name: str, env: dict[str, str]) -> dict[str, str]:
        old = f"//{name}:{servers.secrets.nats[name]}@"
        new = f"//{name}-2:{passwords[name]}@"
        assert old in env["TENANTRY_NATS_URL"]
        return {"TENANTRY_NATS_URL": env["TENANTRY_NATS_URL"].replace(old, new)}

    def reload(lines: Sequence[str]) -> None:
        servers.configuration.write_text("\n".join(lines))
        os.kill(servers.children["nats"].pid, signal.SIGHUP)

    async with rotation.under_load():
        lines = servers.configuration.read_text().splitlines()
        last = max(number for number, line in enumerate(lines) if line == "  ]")
        for user in users:
            (added,) = typed("Rotate passwords of NATS", user, passwords[user])
            lines.insert(last, added)
        reload(lines)
        await rotation.settle()
        await rotation.restart(users, second_user)
        reload([line for line in lines if not re.match(rf" +{{ user: ({'|'.join(users)}),", line)])
        await rotation.settle()

        async def is_refused() -> bool:
            try:
                client = await connect(servers.nats_url("projects"), reconnects=False)
            except NatsError as error:
                return "Authorization" in str(error)
            await client.close()
            return False

        await until(is_refused)


async def test_the_operators_key(rotation: Rotation) -> None:
    old, new = rotation.operator_key, secrets.token_urlsafe(32)
    tenant = rotation.run.writers[0].api.tenant

    async def token() -> str:
        made = await rotation.as_operator()(
            "POST", f"/v1/admin/tenants/{tenant}/token", {"scope": "*"}
        )
        assert made.status == 200, made.raw
        return str(made.body["access_token"])

    async def accepts(credential: str, path: str = "/v1/admin/tenants?limit=1") -> bool:
        return (await Api(rotation.http, rotation.url, credential)("GET", path)).status == 200

    users = "/v1/admin/users"
    async with rotation.under_load():
        of_old = await token()
        both = {"TENANTRY_OPERATOR_KEY": old, "TENANTRY_OPERATOR_KEY_2": new}
        await rotation.restart(["edge"], lambda *_: both)
        assert await accepts(old)
        assert await accepts(new)
        exchanged = {"TENANTRY_OPERATOR_KEY": new, "TENANTRY_OPERATOR_KEY_2": old}
        await rotation.restart(["edge"], lambda *_: exchanged)
        assert await accepts(of_old, users)
        rotation.operator_key = new
        of_new = await token()
        await rotation.restart(["edge"], lambda *_: {"TENANTRY_OPERATOR_KEY_2": ""})
        assert await accepts(of_new, users)
    assert not await accepts(old)
    assert not await accepts(of_old, users)
    rotation.stack.servers.secrets.operator_key = new


async def test_encryption_keys(rotation: Rotation) -> None:
    servers = rotation.stack.servers
    old = servers.secrets.encryption_keys
    new = {
        name: f"{name}-2:{base64.b64encode(secrets.token_bytes(32)).decode()}"
        for name in ENCRYPTING_SERVICES
    }
    databases = {
        f"TENANTRY_{name.upper()}_DATABASE_URL": rotation.stack.children[name].spec.program.env[
            "TENANTRY_DATABASE_URL"
        ]
        for name in SERVICE_NAMES
    }

    async def rewrap(keys: dict[str, str]) -> int:
        variables = {
            f"TENANTRY_{name.upper()}_ENCRYPTION_KEYS": value for name, value in keys.items()
        }
        ran = await tenantry("keys", "rewrap", "--json", **databases, **variables)
        assert ran.code == 0, ran.err
        return sum(ran.json["rewrapped"].values())

    added = {name: f"{old[name]},{new[name]}" for name in new}
    first = {name: f"{new[name]},{old[name]}" for name in new}
    async with rotation.under_load():
        for keys in (added, first):
            await rotation.restart(
                ENCRYPTING_SERVICES,
                lambda name, _, keys=keys: {"TENANTRY_ENCRYPTION_KEYS": keys[name]},
            )
        assert await rewrap(first) > 0
    assert await rewrap(first) == 0
    assert await rewrap(new) == 0, "the old keys are needed for no stored secret"
