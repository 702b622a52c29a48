"""The data of version 0.1 goes to this release and back, by processes replaced one at a time.

As docs/upgrading.md says it: no request fails, nothing is lost, and what was issued works on.
"""

import json
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, DummyCookieJar
from chaos.run import ChaosRun, chaos_run
from release_0_1.customer import Customer, lost, view
from release_0_1.rolling import OldServers, Release, RollingStack, unpacked
from standardwebhooks import Webhook
from support.api import Api
from support.waiting import until
from support.webhook_receiver import Receiver, webhook_receiver
from tenantry.dev import services

BETWEEN = 60
"""Answers to the load from one step to the next."""
FORTH: tuple[str, ...] = ("projects", "webhooks", "identity", "audit", "edge")
BACK = FORTH[::-1]
ERASED = "KeyError: ''"
"""The answer that is to be repeated was erased with a person. This release says so."""
FAILED = ("wrong answer", "500")
MOST_REFUSED = 20
WEBHOOKS = {"webhook", "refused"}
ANSWERED = {"2xx", "4xx", "in flight"}


async def load_goes_on(run: ChaosRun, customer: Customer) -> None:
    answered, done = run.load.answered + BETWEEN, customer.done + 5

    async def went_on() -> bool:
        return run.load.answered > answered and customer.done > done

    await until(went_on, 60)
    run.stack.note(str(dict(run.load.answers)))


async def replace_all(
    run: ChaosRun, customer: Customer, order: tuple[str, ...], release: Release
) -> None:
    assert isinstance(run.stack, RollingStack)
    for name in order:
        await run.stack.replace(name, release)
        await load_goes_on(run, customer)
        assert customer.refused == [], "\n".join([*customer.refused, *run.stack.log])
        assert set(run.load.answers) <= ANSWERED, run.stack.log


def failures_of_0_1(run: ChaosRun) -> int:
    """Requests that processes of 0.1 have answered by 500, all for the reason that
    docs/upgrading.md gives; this release has answered none so.
    """
    found = 0
    for log in run.stack.servers.data.root.glob("logs/*.log"):
        for line in log.read_text().splitlines():
            if '"event":"call_failed"' in line:
                exception = json.loads(line)["exception"]
                assert "-0.1-" in log.name, exception
                assert ERASED in exception
                found += 1
    return found


def forgive_the_migration(run: ChaosRun) -> None:
    """Who waited for tables for longer than a request may take: on a busy machine."""
    assert run.load.answers.pop("504", 0) <= MOST_REFUSED


async def send_to(receiver: Receiver, api: Api, has: dict[str, Any]) -> None:
    """The webhooks of before get an address at which somebody answers."""
    for name in WEBHOOKS:
        change = {"url": f"{receiver.url}/{name}"}
        answer = await api("PATCH", f"/v1/admin/webhooks/{has[name]['id']}", change)
        assert answer.status == 200, answer.raw

    async def is_recorded() -> bool:
        found = await api("GET", "/v1/admin/audit?action=webhook.updated")
        return bool(found.body["pagination"]["total"] == len(WEBHOOKS) + 1)

    await until(is_recorded)


async def check_webhooks(receiver: Receiver, api: Api, has: dict[str, Any]) -> None:
    """What was refused before comes when it is sent again, all signed by the secret of before."""
    path = f"/v1/admin/webhooks/{has['refused']['id']}/deliveries"
    failed = (await api("GET", f"{path}?limit=200")).body["deliveries"][-1]
    receiver.received.clear()
    answer = await api("POST", f"{path}/{failed['id']}/retry")
    assert answer.status in (200, 201, 202), answer.raw
    assert (await api("POST", "/v1/admin/users", {"email": "new@example.com"})).status == 201

    async def came() -> bool:
        events = {each.headers["webhook-id"] for each in receiver.received}
        paths = {each.path.rpartition("/")[2] for each in receiver.received}
        return failed["event_id"] in events and paths == WEBHOOKS

    await until(came)
    for each in receiver.received:
        secret = has[each.path.rpartition("/")[2]]["secret"]
        assert Webhook(secret).verify(each.body, each.headers)["id"] == each.headers["webhook-id"]


async def all_answer(api: Api) -> bool:
    paths = ("users", "projects", "webhooks", "audit")
    return all([(await api("GET", f"/v1/admin/{each}")).status == 200 for each in paths])


async def test_a_rolling_upgrade_from_0_1_and_back_fails_no_request_and_loses_nothing(
    tmp_path: Path,
) -> None:
    with unpacked(tmp_path) as tenants:
        busy, idle = tenants
        async with (
            chaos_run(tmp_path, servers_of=OldServers, stack_of=RollingStack) as run,
            ClientSession(cookie_jar=DummyCookieJar()) as http,
            webhook_receiver() as receiver,
        ):
            stack = run.stack
            assert isinstance(stack, RollingStack)
            customer = Customer(Api(http, stack.client_url, busy["root_key"]), busy)
            observer = Api(http, stack.client_url, idle["root_key"])
            await send_to(receiver, observer, idle)
            before = await view(observer)
            async with run.under_load():
                async with customer.working():
                    await load_goes_on(run, customer)
                await stack.run("this", services.migrate(stack.servers))
                async with customer.working():
                    await load_goes_on(run, customer)
                    forgive_the_migration(run)
                    await stack.run("this", services.bootstrap(stack.servers))
                    await replace_all(run, customer, FORTH, "this")
                await stack.run("this", services.migrate(stack.servers, "--after-rollout"))
                async with customer.working():
                    await load_goes_on(run, customer)
                    forgive_the_migration(run)
                    assert not (gone := lost(before, await view(observer))), "\n".join(gone)
                    await replace_all(run, customer, BACK, "0.1")
                    assert not (gone := lost(before, await view(observer))), "\n".join(gone)
                # It knows the rights of 0.1 alone, and works by those of this release.
                # Who asks while services connect again is answered 503 or 504.
                await stack.servers.reconfigure()
                await until(lambda: all_answer(observer))
                async with customer.working():
                    await load_goes_on(run, customer)
            await check_webhooks(receiver, observer, idle)
            for token in idle["invitations"]:
                answer = await observer("POST", "/v1/invitations/accept", {"token": token})
                assert answer.status == 200, answer.raw
            await run.check()
        failed = [each for each in run.violations if (each.kind, each.text) == FAILED]
        assert len(failed) <= failures_of_0_1(run)
        run.violations = [each for each in run.violations if each not in failed]
        run.assert_none()
