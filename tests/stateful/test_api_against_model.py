"""Random sequences of API calls: each response, list, total and event is as a simple model says.

Examples are the same at every run. STATEFUL_EXAMPLES=1000 looks longer, STATEFUL_SEED=7 elsewhere;
both are printed with a failure, which is shrunk for at most five minutes before it is shown.
"""

import os
from collections import Counter
from collections.abc import AsyncIterator
from itertools import count

import httpx
import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from stateful import identity, tenants
from stateful.client import Client
from stateful.machine import Installation
from stateful.model import Model
from support.stack import Stack, running_stack

EXAMPLES = int(os.environ.get("STATEFUL_EXAMPLES", "50"))
STEPS = 50
SEED = int(os.environ.get("STATEFUL_SEED", "20260115"))


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    async with running_stack(folder, "--no-demo", TENANTRY_RATE_LIMIT="100000/second") as running:
        yield running


def test_every_response_and_every_event_is_what_the_model_expects(stack: Stack) -> None:
    print(f"STATEFUL_SEED={SEED} STATEFUL_EXAMPLES={EXAMPLES}")  # noqa: T201 - shown with a failure
    operator_key, names = stack.ready["operator_key"], count(1)
    calls: Counter[str] = Counter()
    with httpx.Client(base_url=stack.url, trust_env=False, timeout=30) as http:

        def new_installation() -> Installation:
            """Its tenants are told apart by its name: all examples run on one product."""
            model = Model(tenants.OPERATIONS | identity.OPERATIONS, operator_key)
            return Installation(Client(http, model, f"m{next(names)}x", calls))

        run_state_machine_as_test(
            seed(SEED)(new_installation),
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
    for kind, times in sorted(calls.items()):
        print(f"{times:6} {kind}")  # noqa: T201
