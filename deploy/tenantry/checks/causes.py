"""Which failure explains which: a result that needs a failed one is its consequence. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from contracts.topology import SERVICE_NAMES, STREAM

from tenantry.checks.result import CheckResult, failed

POSTGRES = "connection of PostgreSQL"
NATS = "connection of NATS"
DISK = "disk of the data folder"
CLOCK = "clock of this machine"
REDIS = "connection of Redis"
SAME_SECONDS = 2.0
_STREAM = f"streams of stream {STREAM}"


def _needs_of(service: str) -> dict[str, tuple[str, ...]]:
    database, schema = f"connection of database of {service}", f"migrations of schema of {service}"
    consumer = f"streams of consumer {service}"
    return {
        database: (DISK, POSTGRES),
        schema: (DISK, POSTGRES, database),
        f"rights of database of {service}": (database,),
        f"replica of {service}": (DISK, POSTGRES, database),
        f"events of outbox of {service}": (DISK, schema, database, NATS, _STREAM),
        f"events of dead letters of {service}": (schema, database),
        consumer: (DISK, NATS, _STREAM, schema, database),
        f"health of {service}": (DISK, POSTGRES, NATS, schema, database, _STREAM, consumer),
    }


NEEDS: dict[str, tuple[str, ...]] = {
    POSTGRES: (DISK,),
    NATS: (DISK,),
    _STREAM: (DISK, NATS),
    "connection of API": (DISK,),
    "connection of console": (DISK,),
    # It asks the edge whether that is ready, which needs NATS.
    "health of console": ("connection of API", DISK, NATS),
    "sessions of console": (REDIS,),
    "health of nats": (NATS,),
    "health of redis": (REDIS,),
    "request of operator": (
        *("connection of API", DISK, POSTGRES, NATS, "migrations of schema of projects"),
        *("connection of database of projects", "health of projects"),
    ),
    **{f"clock of {each}": (CLOCK,) for each in ("PostgreSQL", "NATS", "Redis", "API")},
}
for _service in SERVICE_NAMES:
    NEEDS |= _needs_of(_service)


def find_causes(results: Sequence[CheckResult]) -> list[CheckResult]:
    """First what failed by itself, each before its consequences; the rest keeps its order.

    The cause that explains most comes first.
    """
    results = [*_own_clock(results), *results]
    bad = {each.name: each for each in results if each.is_bad}
    results = [replace(each, caused_by=_cause_of(each, bad)) for each in results]
    explained = Counter(each.caused_by for each in results)
    causes = [each for each in results if each.is_bad and each.caused_by is None]
    causes.sort(key=lambda each: (each.status != "failed", -explained[each.name]))
    ordered = [
        each
        for cause in causes
        for each in (cause, *(each for each in results if each.caused_by == cause.name))
    ]
    return [*ordered, *(each for each in results if not each.is_bad)]


def _cause_of(result: CheckResult, bad: dict[str, CheckResult]) -> str | None:
    """The name of the last cause behind it."""
    if not result.is_bad:
        return None
    cause = result
    while needed := _first_cause(cause, bad):
        cause = needed
    return None if cause is result else cause.name


def _first_cause(result: CheckResult, bad: dict[str, CheckResult]) -> CheckResult | None:
    """A warning explains nothing, but for Redis, without which the product goes on."""
    for name in NEEDS.get(result.name, ()):
        needed = bad.get(name)
        if needed is not None and (needed.status == "failed" or name == REDIS):
            return needed
    return None


def _own_clock(results: Sequence[CheckResult]) -> list[CheckResult]:
    """When every other clock differs, and all by the same, it is ours that is wrong."""
    clocks = [each for each in results if each.check == "clock"]
    differences = [float(each.detail.split()[0]) for each in clocks]
    if len(clocks) < 2 or any(each.status == "ok" for each in clocks):
        return []
    if max(differences) - min(differences) > SAME_SECONDS:
        return []
    fix = "Set it (chrony, systemd-timesyncd): tokens, limits and webhook signatures go by it."
    return [failed("clock", "this machine", f"all others are {clocks[0].detail}", fix)]
