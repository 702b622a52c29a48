"""How long a 404 takes tells nothing of whether another tenant has the thing."""

import time

import pytest
from contracts.ids import new_id
from security.sample_tenant import SampleTenant
from support.figures import FIGURES

pytestmark = pytest.mark.alone


ROUNDS = 300
TELLS_APART = 0.12
"""Five standard deviations of the share below, were both drawn from one distribution (the U test
of Mann and Whitney: the square root of (2n + 1) / 12n²). One more query gave a share of 0.91.
"""
PATHS = {
    "prj": ("GET", "/v1/admin/projects/{}"),
    "usr": ("GET", "/v1/admin/users/{}"),
    "org": ("DELETE", "/v1/admin/organizations/{}"),
    "whk": ("DELETE", "/v1/admin/webhooks/{}"),
    "evt": ("GET", "/v1/admin/audit/{}"),
}


@pytest.mark.parametrize("prefix", PATHS)
async def test_foreign_and_absent_take_equally_long(
    here: SampleTenant, there: SampleTenant, prefix: str
) -> None:
    """Turn by turn, so that whatever else the machine does befalls both."""
    method, path = PATHS[prefix]
    identifiers = {"foreign": there.ids[prefix], "absent": new_id(prefix)}
    times: dict[str, list[float]] = {"foreign": [], "absent": []}
    for number in range(ROUNDS):
        for kind in sorted(identifiers, reverse=bool(number % 2)):
            began = time.perf_counter()
            answer = await here.api(method, path.format(identifiers[kind]))
            times[kind].append(time.perf_counter() - began)
            assert answer.status == 404
    longer = sum(mine > other for mine in times["foreign"] for other in times["absent"])
    FIGURES["isolation cells, timed"] += 2 * ROUNDS
    assert abs(longer / ROUNDS**2 - 0.5) < TELLS_APART
