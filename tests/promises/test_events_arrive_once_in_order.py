"""Outbox, relay, inbox: what docs/guarantees.md says of each, on a real PostgreSQL and NATS."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from chassis import streams
from contracts.topology import STREAM
from outbox import consumer as consumer_module
from outbox import dead_letters, redelivery
from outbox import relay as relay_module
from outbox.consumer import BATCH
from outbox.republish import republish
from promises.pipeline import DURABLE, Pipeline
from support.servers import kill
from support.waiting import until


async def test_what_is_rolled_back_is_never_published(pipeline: Pipeline) -> None:
    async with pipeline.running_relay(), pipeline.running_consumer():
        await pipeline.record(3, commit=False)
        await pipeline.assert_handled(await pipeline.record(2))


async def test_one_relay_leads_and_another_takes_over_within_five_seconds(
    pipeline: Pipeline,
) -> None:
    async with pipeline.running_consumer():
        async with pipeline.running_relay():
            ids = await pipeline.record()
            await pipeline.assert_handled(ids)
            standby = pipeline.running_relay()
            await standby.__aenter__()
            locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            assert await pipeline.pool.fetchval(locks) == 2, "the relay's and the consumer's"
        died = time.monotonic()
        ids += await pipeline.record()
        await pipeline.assert_handled(ids)
        assert time.monotonic() - died < 5
        await standby.__aexit__(None, None, None)


async def test_order_holds_while_the_broker_is_killed(pipeline: Pipeline) -> None:
    ids: list[str] = []
    async with pipeline.running_relay() as relay, pipeline.running_consumer():
        for _ in range(4):
            for _ in range(5):
                ids += await pipeline.record(300, relay)
            await kill(pipeline.servers, "nats")
        ids += await pipeline.record(10)

        await until(pipeline.all_published, 40)
        await pipeline.assert_handled(ids)
    in_stream = await pipeline.in_stream()
    assert list(dict.fromkeys(in_stream)) == ids


async def test_what_a_killed_process_had_in_hand_is_handled_first(pipeline: Pipeline) -> None:
    async with pipeline.running_relay() as relay:
        ids = await pipeline.record(BATCH, relay)
        await pipeline.fetch_and_never_ack(BATCH)
        ids += await pipeline.record(50, relay)
        async with pipeline.running_consumer():
            await pipeline.assert_handled(ids)


async def test_what_was_sent_and_never_came_is_handled_before_what_is_newer(
    pipeline: Pipeline,
) -> None:
    """As when another server of a cluster dies with what it was sending."""
    js = pipeline.nats.jetstream()

    async def both_wait() -> bool:
        return (await js.consumer_info(STREAM, DURABLE)).num_waiting == 2

    async with pipeline.running_relay() as relay, pipeline.running_consumer():
        ids = await pipeline.record(5, relay)
        await pipeline.assert_handled(ids)
        swallowing = asyncio.create_task(pipeline.fetch_and_never_ack(1))
        await until(both_wait)
        ids += await pipeline.record(30, relay)
        await swallowing
        ids += await pipeline.record(30, relay)
        await pipeline.assert_handled(ids)


async def test_one_replica_consumes_and_another_takes_over(pipeline: Pipeline) -> None:
    async with pipeline.running_relay() as relay, pipeline.running_consumer():
        async with pipeline.running_consumer():
            ids = await pipeline.record(20, relay)
            await pipeline.assert_handled(ids)
        ids += await pipeline.record(20, relay)
        await pipeline.assert_handled(ids)


async def test_a_lost_stream_is_filled_again_and_changes_nothing(pipeline: Pipeline) -> None:
    async with pipeline.running_relay() as relay, pipeline.running_consumer():
        ids = await pipeline.record(30, relay)
        await pipeline.assert_handled(ids)
        await until(pipeline.all_published)
        await pipeline.nats.jetstream().delete_stream(STREAM)
        await streams.bootstrap(pipeline.servers.nats_url("admin"))
        async with pipeline.pool.acquire() as conn:
            assert await republish(conn, datetime.now(UTC) - timedelta(hours=1)) == 30
        relay.wake()

        async def filled() -> bool:
            return len(await pipeline.in_stream()) == 30

        await until(filled)
        assert await pipeline.in_stream() == ids
        later = await pipeline.record(1, relay)
        await pipeline.assert_handled(ids + later)


async def test_published_events_are_kept_a_day(pipeline: Pipeline) -> None:
    kept, old = await pipeline.record(2)
    async with pipeline.running_relay():
        await until(pipeline.all_published)
    age = "UPDATE outbox SET published_at = now() - interval '{}' WHERE event_id = $1"
    await pipeline.pool.execute(age.format("25 hours"), old)
    await pipeline.pool.execute(age.format("23 hours"), kept)
    # More than one purge deletes: a busy hour of yesterday.
    await pipeline.pool.execute(
        "INSERT INTO outbox (event_id, tenant_id, subject, payload, published_at)"
        " SELECT 'evt_' || n, 'ten', 'old', '', now() - interval '25 hours'"
        "   FROM generate_series(1, 12000) n"
    )
    async with pipeline.running_relay():

        async def purged() -> bool:
            return await pipeline.pool.fetchval("SELECT count(*) FROM outbox") == 1

        await until(purged)
    assert await pipeline.pool.fetchval("SELECT event_id FROM outbox") == kept


async def test_transient_errors_are_retried_in_order_and_count_as_no_try(
    pipeline: Pipeline,
) -> None:
    pipeline.deadlocks = 3
    ids = await pipeline.record(BATCH + 50)
    async with pipeline.running_relay(), pipeline.running_consumer() as consumer:
        await pipeline.assert_handled(ids)
        delivered = (await consumer.info()).delivered
    assert await pipeline.pool.fetchval("SELECT count(*) FROM dead_letters") == 0
    assert delivered is not None
    assert delivered.consumer_seq <= 4 * len(ids), "no batch is sent again and again meanwhile"


async def test_a_consumer_that_stops_leaves_the_rest_to_another(pipeline: Pipeline) -> None:
    async with pipeline.running_relay() as relay, pipeline.running_consumer() as consumer:
        ids = await pipeline.record(20, relay)
        await pipeline.assert_handled(ids)
        await consumer.stop()
        ids += await pipeline.record(20, relay)
        async with pipeline.running_consumer():
            await pipeline.assert_handled(ids)


async def test_poison_stops_nobody_is_a_dead_letter_and_can_be_requeued(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.batch.RETRY_SECONDS", (0.05,))
    ids = await pipeline.record(9)
    bad = ids[4]
    pipeline.poison = {bad}
    async with (
        pipeline.running_relay(),
        pipeline.running_consumer(),
        pipeline.pool.acquire() as conn,
    ):

        async def tries() -> list[int]:
            return [letter["tries"] for letter in await dead_letters.list_all(conn)]

        async def given_up() -> bool:
            return await tries() == [5]

        async def failed_again() -> bool:
            return await tries() == [1]

        async def gone() -> bool:
            return await dead_letters.count(conn) == 0

        await until(given_up)
        assert pipeline.handled == [each for each in ids if each != bad]
        (letter,) = await dead_letters.list_all(conn)
        assert (letter["event_id"], letter["error"], letter["tries"]) == (bad, "ValueError", 5)
        assert await dead_letters.requeue(conn, [bad]) == 1
        await until(failed_again)
        pipeline.poison = set()
        assert await dead_letters.requeue(conn, None) == 1
        await until(gone)
    assert pipeline.handled[-1] == bad
    assert len(pipeline.handled) == len(ids)


async def test_a_vanished_consumer_is_noticed_and_read_again_once_it_is_made(
    pipeline: Pipeline,
) -> None:
    async with pipeline.running_relay() as relay, pipeline.running_consumer() as consumer:
        ids = await pipeline.record(5, relay)
        await pipeline.assert_handled(ids)
        await pipeline.nats.jetstream().delete_consumer(STREAM, DURABLE)
        with pytest.raises(Exception, match="consumer not found"):
            await consumer.info()
        ids += await pipeline.record(5, relay)
        await streams.bootstrap(pipeline.servers.nats_url("admin"))
        await pipeline.assert_handled(ids)


async def test_what_another_replica_records_waits_for_no_poll(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "POLL_SECONDS", 60)
    monkeypatch.setattr(relay_module, "IDLE_SECONDS", 60)
    async with pipeline.running_relay() as first:
        await pipeline.record(1, first)
        await until(pipeline.all_published)
        async with pipeline.running_relay() as second:
            for _ in range(3):
                await pipeline.record(1, second)
                await until(pipeline.all_published, 5)


async def test_a_reconnect_ends_what_was_requested_before(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has forgotten it, and would send nothing before the next request."""
    monkeypatch.setattr(consumer_module, "FETCH_SECONDS", 60)
    monkeypatch.setattr(redelivery, "WAIT_SECONDS", 0.1)
    async with pipeline.running_relay() as relay, pipeline.running_consumer():
        ids = await pipeline.record(3, relay)
        await pipeline.assert_handled(ids)
        await kill(pipeline.servers, "nats")
        ids += await pipeline.record(3, relay)
        await pipeline.assert_handled(ids)
