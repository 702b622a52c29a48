"""Random sequences of API calls, each answer, list, total and event as a simple model says.

The model (support/model) is the contract in Python and knows nothing of the product's code; the
moves (support/moves) are what hypothesis chooses from. Examples are the same at every run.
MODEL_EXAMPLES=1000 looks longer, MODEL_SEED=7 elsewhere; both are printed with a failure.
A failure is shrunk for at most five minutes before it is shown.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from itertools import count

import pytest
from aiohttp import ClientSession, DummyCookieJar
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from support.model.dialogue import Dialogue
from support.moves.telling import Telling
from support.stack import Stack, running_stack

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "50"))
STEPS = 50
SEED = int(os.environ.get("MODEL_SEED", "20260115"))


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    async with running_stack(folder, "--no-demo", TENANTRY_RATE_LIMIT="100000/second") as running:
        yield running


@pytest.fixture
def loop_and_http() -> Iterator[tuple[asyncio.AbstractEventLoop, ClientSession]]:
    """A loop of our own: rules are plain functions."""

    async def opened() -> ClientSession:
        return ClientSession(cookie_jar=DummyCookieJar())

    loop = asyncio.new_event_loop()
    http = loop.run_until_complete(opened())
    yield loop, http
    loop.run_until_complete(http.close())
    loop.close()


def test_every_answer_and_every_event_is_what_the_model_says(
    stack: Stack, loop_and_http: tuple[asyncio.AbstractEventLoop, ClientSession]
) -> None:
    print(f"MODEL_SEED={SEED} MODEL_EXAMPLES={EXAMPLES}")  # noqa: T201 - shown with a failure
    url, key, names = stack.url, stack.ready["operator_key"], count(1)
    tally: Counter[str] = Counter()

    def an_example() -> Telling:
        """Tenants of its own, which its name tells apart."""
        return Telling(Dialogue(url, key, *loop_and_http, name=f"m{next(names)}x", tally=tally))

    run_state_machine_as_test(
        seed(SEED)(an_example),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            print_blob=False,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
    for kind, times in sorted(tally.items()):
        print(f"{times:6} {kind}")  # noqa: T201
