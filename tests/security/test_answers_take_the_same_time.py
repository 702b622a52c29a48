"""How long a 404 takes tells nothing of whether another tenant has the thing."""

import statistics
import time

import pytest
from contracts.ids import new_id
from support.figures import FIGURES
from support.furnished import Furnished

ROUNDS = 150
PATHS = {
    "prj": ("GET", "/v1/admin/projects/{}"),
    "usr": ("GET", "/v1/admin/users/{}"),
    "org": ("DELETE", "/v1/admin/organizations/{}"),
    "whk": ("DELETE", "/v1/admin/webhooks/{}"),
    "evt": ("GET", "/v1/admin/audit/{}"),
}


@pytest.mark.parametrize("prefix", PATHS)
async def test_foreign_and_absent_take_equally_long(
    here: Furnished, there: Furnished, prefix: str
) -> None:
    """Turn by turn, so that whatever else the machine does befalls both."""
    method, path = PATHS[prefix]
    times: dict[str, list[float]] = {"foreign": [], "absent": []}
    for number in range(ROUNDS):
        turns = [("foreign", there.ids[prefix]), ("absent", new_id(prefix))]
        for kind, identifier in turns if number % 2 else reversed(turns):
            began = time.perf_counter()
            answer = await here.api(method, path.format(identifier))
            times[kind].append(time.perf_counter() - began)
            assert answer.status == 404
    foreign, absent = (statistics.median(times[kind]) for kind in ("foreign", "absent"))
    FIGURES["isolation cells, timed"] += 2 * ROUNDS
    assert abs(foreign - absent) < 0.25 * max(foreign, absent) + 0.0005, (foreign, absent)
