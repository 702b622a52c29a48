"""What was promised, compared with what the product shows. Pure: everything is given.

The trail names the request of each event, and a request names its write.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from contracts.events import matches

from support.fire.hearing import Hearing
from support.fire.shown import Shown
from support.fire.writes import Row, Write

SET_UP = {"tenant.created", "api_key.created"}


@dataclass(frozen=True)
class Broken:
    """A promise that was not kept, and the writes that it is about."""

    kind: str
    text: str
    writes: tuple[Write, ...] = ()


@dataclass(frozen=True)
class Hook:
    """A webhook: what it hears, under which path, since when."""

    tenant: str
    path: str
    pattern: str
    since: float


def number_of(event: Mapping[str, Any]) -> int | None:
    """Of the write that an entry of the trail tells of; None for the set-up."""
    head = str(event["request_id"]).partition(".")[0]
    return int(head[1:]) if head[0] == "w" and head[1:].isdigit() else None


def events_by_write(trails: Iterable[Shown]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for each in trails:
        for event in each.trail:
            if (number := number_of(event)) is not None:
                found[number].append(event)
    return found


def wholly_there_or_absent(
    doubtful: Sequence[Write], shown: Mapping[str, Shown]
) -> tuple[set[int], list[Broken]]:
    """The numbers of the writes in doubt that are there; and those that are there in part."""
    events = events_by_write(shown.values())
    there, faults = set(), []
    for write in doubtful:
        rows = shown[write.tenant].rows
        told = Counter(event["action"] for event in events[write.number])
        seen = write.gone not in rows if write.gone else write.mark in rows.values()
        if told == Counter(write.actions) and (seen or not told):
            there |= {write.number} if told else set()
        elif told or seen:
            text = f"events {dict(told)}, {'there' if seen else 'not there'}"
            faults.append(Broken("in part", text, (write,)))
    return there, faults


def same_answers(writes: Iterable[Write], there: set[int]) -> Iterator[Broken]:
    """Every final answer of a write is the same one, given anew once at most."""
    for write in writes:
        finals = [each for each in write.attempts if each.is_final]
        if len({each.answer for each in finals}) > 1:
            yield Broken("answer changed", "its answers differ", (write,))
        anew = [each for each in finals if not each.replayed]
        if len(anew) > 1 or (anew and write.number in there):
            yield Broken("answer changed", "was done anew", (write,))
        if any(each.status != write.expected for each in finals):
            yield Broken("wrong answer", f"not {write.expected}", (write,))
        if any(each.status == 500 for each in write.attempts):
            yield Broken("wrong answer", "500", (write,))


def rows_are_there(writes: Iterable[Write], shown: Mapping[str, Shown]) -> Iterator[Broken]:
    """What was acknowledged and nothing else."""
    expected: dict[str, dict[Row, tuple[str, Write]]] = {tenant: {} for tenant in shown}
    for write in sorted(writes, key=lambda each: each.settled):
        rows = expected[write.tenant]
        for row, mark in write.done().rows.items():
            if mark is None:
                rows.pop(row, None)
            else:
                rows[row] = mark, write
    for tenant, rows in expected.items():
        seen = shown[tenant].rows
        for row, (mark, write) in rows.items():
            if seen.get(row) != mark:
                yield Broken("lost", f"{row} is {seen.get(row)!r} instead of {mark!r}", (write,))
        for row in seen.keys() - rows.keys():
            yield Broken("not asked for", f"{row} {seen[row]!r} of {tenant}")


def one_event_each(writes: Sequence[Write], shown: Mapping[str, Shown]) -> Iterator[Broken]:
    """For each change, and no other."""
    events = events_by_write(shown.values())
    for write in writes:
        told = Counter((each["action"], each["resource_id"]) for each in events[write.number])
        due = Counter(write.done().events)
        for missing in due - told:
            yield Broken("lost in audit", f"{missing}", (write,))
        for more in told - due:
            kind = "duplicated in audit" if more in due else "not asked for"
            yield Broken(kind, f"{more}", (write,))
        if len({each["request_id"] for each in events[write.number]}) > 1:
            yield Broken("duplicated in audit", "done by two requests", (write,))
    for tenant, each in shown.items():
        for event in each.trail:
            if number_of(event) is None and event["action"] not in SET_UP:
                yield Broken("not asked for", f"{event} of {tenant}")


def gapless_and_proven(shown: Mapping[str, Shown]) -> Iterator[Broken]:
    for tenant, each in shown.items():
        sequences = [event["sequence"] for event in each.trail]
        length = len(sequences)
        if sequences != list(range(1, length + 1)):
            yield Broken("gap in audit", f"sequences of {tenant}: {_gaps(sequences)}")
        if len({event["id"] for event in each.trail}) != length:
            yield Broken("duplicated in audit", f"an event id of {tenant}")
        if not each.proof["valid"] or each.proof["length"] != length or each.total != length:
            yield Broken("not proven", f"{tenant}: {each.proof}, total {each.total} of {length}")


def _gaps(sequences: list[int]) -> str:
    return str([(one, other) for one, other in pairwise(sequences) if other != one + 1][:5])


def in_order(writes: Iterable[Write], shown: Mapping[str, Shown]) -> Iterator[Broken]:
    """Of one resource no event stands behind that of a write which began after its answer."""
    by_number = {write.number: write for write in writes}
    for each in shown.values():
        earliest: dict[tuple[str, str], Write] = {}
        for event in reversed(each.trail):
            write = by_number.get(number_of(event) or 0)
            if write is None:
                continue
            resource = event["resource_type"], event["resource_id"]
            behind = earliest.setdefault(resource, write)
            if behind.settled < write.began:
                text = f"{resource}: sequence {event['sequence']} should stand further behind"
                yield Broken("out of order", text, (write, behind))
            earliest[resource] = min(behind, write, key=lambda one: one.settled)


def due(
    hooks: Iterable[Hook], writes: Iterable[Write], shown: Mapping[str, Shown]
) -> dict[tuple[str, str], Write]:
    """Path and event id of what webhooks must hear: events of writes begun after they were made."""
    by_number = {write.number: write for write in writes}
    found = {}
    for hook in hooks:
        for event in shown[hook.tenant].trail:
            write = by_number.get(number_of(event) or 0)
            if write is None or write.began <= hook.since:
                continue
            if matches(hook.pattern, event["action"]):
                found[hook.path, event["id"]] = write
    return found


def hooks_of(writes: Iterable[Write], shown: Mapping[str, Shown]) -> list[Hook]:
    """The webhooks that are there."""
    return [
        Hook(write.tenant, urlsplit(write.body["url"]).path, write.body["events"][0], write.settled)
        for write in writes
        if write.body is not None and "url" in write.body
        if any(row in shown[write.tenant].rows for row in write.done().rows)
    ]


def made_up(shown: Mapping[str, Shown], hearing: Hearing) -> Iterator[Broken]:
    """What was delivered and audit knows nothing of."""
    ids = {event["id"] for each in shown.values() for event in each.trail}
    for path, heard in hearing.heard.items():
        for event in heard.keys() - ids:
            yield Broken("not asked for", f"{event} at {path}")
    for wrong in hearing.wrong:
        yield Broken("wrong delivery", wrong)
