"""What a fire is to be, and what came of it: the counts, the table, the broken promises."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from support.fire.faults import Struck
from support.fire.hearing import Hearing
from support.fire.load import Load
from support.fire.shown import Shown
from support.fire.verdict import Broken

SHOWN = 8
"""Broken promises of one kind that a failure names."""


@dataclass(frozen=True)
class Plan:
    """What decides a fire: it ends after so many seconds, and no sooner than so many kills."""

    seed: int
    seconds: float
    kills: int

    def __str__(self) -> str:
        return f"TENANTRY_FIRE_SEED={self.seed} TENANTRY_FIRE_SECONDS={self.seconds:g}"


@dataclass
class Outcome:
    """What there is to judge. `told` is what explains a failure."""

    plan: Plan
    load: Load = field(default_factory=Load)
    struck: list[Struck] = field(default_factory=list)
    hearings: dict[str, Hearing] = field(default_factory=dict)
    shown: dict[str, Shown] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)
    dead_letters: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    in_doubt: int = 0
    seconds: float = 0.0
    calm_after: float = 0.0

    @property
    def kills(self) -> Counter[str]:
        """By target."""
        kills = [each.fault.targets for each in self.struck if each.fault.kind == "kill"]
        return Counter(name for targets in kills for name in targets)

    def kept(self, *kinds: str) -> None:
        """Raises AssertionError unless no promise of these kinds was broken."""
        broken = [each for each in self.broken if each.kind in kinds]
        lines = []
        for each in broken[:SHOWN]:
            lines += [f"{each.kind}: {each.text}", *(f"    {write}" for write in each.writes)]
        assert not broken, "\n".join([f"{len(broken)} times, {self.plan}", *lines, *self.told])

    def table(self) -> str:
        """What happened, a line each."""
        return "\n".join(f"  {name:<26}{value}" for name, value in self._rows())

    def _rows(self) -> Iterator[tuple[str, object]]:
        yield "seed", self.plan.seed
        yield "seconds under fire", round(self.seconds)
        yield "kills", self.kills.total()
        for name, count in sorted(self.kills.items()):
            yield f"  {name}", count
        others = Counter(each.fault.kind for each in self.struck if each.fault.kind != "kill")
        yield (
            "pauses, tears, silences",
            ", ".join(str(others[kind]) for kind in ("pause", "tear", "silence")),
        )
        yield "writes", len(self.load.writes)
        yield "  left in doubt", self.in_doubt
        for name, count in sorted(self.load.answers.items()):
            yield f"  answers {name}", count
        yield "events in audit", sum(len(each.trail) for each in self.shown.values())
        yield "deliveries", sum(each.deliveries for each in self.hearings.values())
        yield "  delivered again", sum(each.repeats for each in self.hearings.values())
        yield "  refused once", sum(len(each.refused) for each in self.hearings.values())
        broken = Counter(each.kind for each in self.broken)
        yield "lost", broken["lost"] + broken["lost in audit"] + broken["not delivered"]
        yield "duplicated", broken["duplicated in audit"] + broken["answer changed"]
        yield "out of order", broken["out of order"]
        for kind in sorted(broken):
            yield f"  {kind}", broken[kind]
        yield "dead letters", len(self.dead_letters)
        slowest = max(self.struck, key=lambda each: each.recovery)
        yield "slowest recovery", f"{slowest.recovery:.2f} s after {slowest.fault}"
        yield "calm after the load", f"{self.calm_after:.2f} s"
