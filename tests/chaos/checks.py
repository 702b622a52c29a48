"""What was promised, compared with what the product shows. Pure: everything is given.

The trail names the request of each event, and a request names its write.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from chaos.snapshot import Deliveries, Snapshot
from chaos.writes import Row, Write
from contracts.events import matches

SET_UP = {"tenant.created", "api_key.created"}

Snapshots = Mapping[str, Snapshot]
"""By tenant."""


@dataclass(frozen=True)
class Violation:
    """A promise that was not kept, and the writes that it is about."""

    kind: str
    text: str
    writes: tuple[Write, ...] = ()


@dataclass(frozen=True)
class Webhook:
    """What it subscribes to, under which path, since when."""

    tenant: str
    path: str
    pattern: str
    since: float


def write_number(event: Mapping[str, Any]) -> int | None:
    """Of the write that an entry of the trail is about; None for the set-up."""
    head = str(event["request_id"]).partition(".")[0]
    return int(head[1:]) if head[0] == "w" and head[1:].isdigit() else None


def events_by_write(snapshots: Snapshots) -> dict[int | None, list[dict[str, Any]]]:
    found: dict[int | None, list[dict[str, Any]]] = defaultdict(list)
    for snapshot in snapshots.values():
        for event in snapshot.trail:
            found[write_number(event)].append(event)
    return found


def check_unanswered(
    doubtful: Sequence[Write], snapshots: Snapshots
) -> tuple[set[int], list[Violation]]:
    """The numbers of the writes in doubt that were done; and those that were done in part."""
    events = events_by_write(snapshots)
    done, violations = set(), []
    for write in doubtful:
        types = Counter(event["action"] for event in events[write.number])
        visible = write.change.is_visible(snapshots[write.tenant].rows)
        if types == write.change.event_types and (visible or not types):
            done |= {write.number} if types else set()
        elif types or visible:
            text = f"events {dict(types)}, {'there' if visible else 'not there'}"
            violations.append(Violation("in part", text, (write,)))
    return done, violations


def check_answers(writes: Iterable[Write], done: set[int]) -> Iterator[Violation]:
    """Every final answer of a write is the same one, given anew once at most.

    `done` are the numbers of the writes that were done before anybody got their answer. An answer
    that shows a user is erased with that user, and only then.
    """
    writes = list(writes)
    deleted = {
        resource_id
        for write in writes
        for action, resource_id in write.done.events
        if action == "user.deleted"
    }
    for write in writes:
        finals = [each for each in write.attempts if each.is_final]
        if len({each.answer for each in finals}) > 1:
            yield Violation("answer changed", "its answers differ", (write,))
        anew = [each for each in finals if not each.replayed]
        if len(anew) > 1 or (anew and write.number in done):
            yield Violation("answer changed", "was done anew", (write,))
        if any(each.status != write.expected for each in finals):
            yield Violation("wrong answer", f"not {write.expected}", (write,))
        shown = str(write) if any(each.is_erased for each in write.attempts) else ""
        if shown and not any(user in shown for user in deleted):
            yield Violation("answer changed", "was erased, but its user is there", (write,))
        if any(each.status == 500 for each in write.attempts):
            yield Violation("wrong answer", "500", (write,))


def check_rows(writes: Iterable[Write], snapshots: Snapshots) -> Iterator[Violation]:
    """What was acknowledged is there, and nothing else."""
    expected: dict[str, dict[Row, tuple[str, Write]]] = {tenant: {} for tenant in snapshots}
    for write in sorted(writes, key=lambda each: each.settled):
        rows = expected[write.tenant]
        for row, mark in write.done.rows.items():
            if mark is None:
                rows.pop(row, None)
            else:
                rows[row] = mark, write
    for tenant, rows in expected.items():
        seen = snapshots[tenant].rows
        for row, (mark, write) in rows.items():
            if seen.get(row) != mark:
                yield Violation("lost", f"{row} is {seen.get(row)!r} instead of {mark!r}", (write,))
        for row in seen.keys() - rows.keys():
            yield Violation("not asked for", f"{row} {seen[row]!r} of {tenant}")


def check_events(writes: Sequence[Write], snapshots: Snapshots) -> Iterator[Violation]:
    """One for each change, and no other."""
    events = events_by_write(snapshots)
    for write in writes:
        seen = Counter((each["action"], each["resource_id"]) for each in events[write.number])
        expected = Counter(write.done.events)
        for missing in expected - seen:
            yield Violation("lost in audit", f"{missing}", (write,))
        for more in seen - expected:
            kind = "duplicated in audit" if more in expected else "not asked for"
            yield Violation(kind, f"{more}", (write,))
        if len({each["request_id"] for each in events[write.number]}) > 1:
            yield Violation("duplicated in audit", "done by two requests", (write,))
    for event in events[None]:
        if event["action"] not in SET_UP:
            yield Violation("not asked for", f"{event}")


def check_trail(snapshots: Snapshots) -> Iterator[Violation]:
    """Gapless, and proven by its chain of hashes."""
    for tenant, snapshot in snapshots.items():
        sequences = [event["sequence"] for event in snapshot.trail]
        length = len(sequences)
        if sequences != list(range(1, length + 1)):
            gaps = [(one, other) for one, other in pairwise(sequences) if other != one + 1]
            yield Violation("gap in audit", f"sequences of {tenant}: {gaps[:5]}")
        if len({event["id"] for event in snapshot.trail}) != length:
            yield Violation("duplicated in audit", f"an event id of {tenant}")
        proof, total = snapshot.proof, snapshot.total
        if not proof["valid"] or proof["length"] != length or total != length:
            yield Violation("not proven", f"{tenant}: {proof}, total {total} of {length}")


def check_order(writes: Iterable[Write], snapshots: Snapshots) -> Iterator[Violation]:
    """Of one resource no event stands behind that of a write which began after its answer."""
    by_number: dict[int | None, Write] = {write.number: write for write in writes}
    for snapshot in snapshots.values():
        earliest: dict[tuple[str, str], Write] = {}
        for event in reversed(snapshot.trail):
            write = by_number.get(write_number(event))
            if write is None:
                continue
            resource = event["resource_type"], event["resource_id"]
            behind = earliest.setdefault(resource, write)
            if behind.settled < write.began:
                text = f"{resource}: sequence {event['sequence']} should stand further behind"
                yield Violation("out of order", text, (write, behind))
            earliest[resource] = min(behind, write, key=lambda one: one.settled)


def webhooks_of(writes: Iterable[Write], snapshots: Snapshots) -> list[Webhook]:
    """The webhooks that are there."""
    return [
        Webhook(
            write.tenant, urlsplit(write.body["url"]).path, write.body["events"][0], write.settled
        )
        for write in writes
        if write.body is not None and "url" in write.body
        if any(row in snapshots[write.tenant].rows for row in write.done.rows)
    ]


def expected_deliveries(
    webhooks: Iterable[Webhook], writes: Iterable[Write], snapshots: Snapshots
) -> dict[tuple[str, str], Write]:
    """Path and event id: each webhook gets the events of writes that began after it was made."""
    by_number: dict[int | None, Write] = {write.number: write for write in writes}
    found = {}
    for webhook in webhooks:
        for event in snapshots[webhook.tenant].trail:
            write = by_number.get(write_number(event))
            if write is None or write.began <= webhook.since:
                continue
            if matches(webhook.pattern, event["action"]):
                found[webhook.path, event["id"]] = write
    return found


def check_deliveries(deliveries: Deliveries, snapshots: Snapshots) -> Iterator[Violation]:
    """Nothing was delivered that audit knows nothing of."""
    ids = {event["id"] for snapshot in snapshots.values() for event in snapshot.trail}
    for path, accepted in deliveries.accepted.items():
        for event in accepted.keys() - ids:
            yield Violation("not asked for", f"{event} at {path}")
    for malformed in deliveries.malformed:
        yield Violation("wrong delivery", malformed)
