"""A transaction that takes too long is made smaller; an event that alone takes too long is given
up: no batch is repeated for ever.
"""

import pytest
from outbox import batch, dead_letters
from promises.pipeline import Pipeline
from support.waiting import until

pytestmark = pytest.mark.usefixtures("_quick")


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "STEP_SECONDS", 0.3)
    monkeypatch.setattr(batch, "RETRY_SECONDS", (0.05,))


async def test_a_batch_that_takes_too_long_is_halved_until_it_fits(pipeline: Pipeline) -> None:
    ids = await pipeline.record(200)
    pipeline.at_once = 30
    async with pipeline.running_relay(), pipeline.running_consumer() as consumer:
        await pipeline.assert_handled(ids)
        assert consumer.is_slow, "and health says so"
        ids += await pipeline.record(100)
        await pipeline.assert_handled(ids)
        assert await pipeline.pool.fetchval("SELECT count(*) FROM dead_letters") == 0
    assert max(pipeline.batches) <= 30
    assert len(pipeline.batches) < 100, "not one by one"


async def test_an_event_that_alone_takes_too_long_becomes_a_dead_letter(
    pipeline: Pipeline,
) -> None:
    ids = await pipeline.record(40)
    bad = ids[17]
    pipeline.slow = {bad}
    async with (
        pipeline.running_relay(),
        pipeline.running_consumer(),
        pipeline.pool.acquire() as conn,
    ):

        async def given_up() -> bool:
            return await dead_letters.count(conn) == 1

        await until(given_up, 30)
        await pipeline.assert_handled([each for each in ids if each != bad])
        (letter,) = await dead_letters.list_all(conn)
        assert (letter["event_id"], letter["error"], letter["tries"]) == (bad, "TimeoutError", 5)
        later = await pipeline.record(5)
        await dead_letters.requeue(conn, [bad])
        await pipeline.assert_handled([*(each for each in ids if each != bad), *later])

        async def failed_again() -> bool:
            return [each["tries"] for each in await dead_letters.list_all(conn)] == [1]

        await until(failed_again)
