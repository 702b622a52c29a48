"""The filters of a request, simplified: columns that equal a value, and bounds on `created_at`."""

from dataclasses import dataclass
from datetime import UTC, datetime

from chassis.database import TIME
from contracts.audit import AuditFilters
from sqlalchemy import ColumnElement, bindparam

from audit.tables import DIMENSIONS, EVENTS

_EARLIEST = datetime.min.replace(tzinfo=UTC)
_COLUMNS = (*DIMENSIONS, "request_id")


@dataclass(frozen=True, slots=True)
class Filters:
    """`equal` maps columns to their values; `since` and `until` are inclusive."""

    equal: dict[str, str]
    since: datetime | None
    until: datetime | None

    @property
    def dimension(self) -> str | None:
        """The one column that counts these events, or None for the whole log."""
        return next(iter(self.equal), None)

    @property
    def is_counted(self) -> bool:
        """Whether the ordinals tell how many there are: not for combinations and requests."""
        return len(self.equal) <= 1 and self.dimension != "request_id"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the conditions, for `conditions`."""
        dates = [name for name in ("since", "until") if getattr(self, name) is not None]
        return (*self.equal, *dates)

    def values(self) -> dict[str, object]:
        """The values of the conditions' parameters."""
        return {**self.equal, "since": self.since, "until": self.until}


def parse_filters(given: AuditFilters) -> Filters | None:
    """The filters without those that follow from others; None when no event can pass them all.

    A family such as `user.*` is the resource type, and an action implies its own.
    """
    equal = {name: value for name in _COLUMNS if (value := getattr(given, name)) is not None}
    if given.action is not None:
        family, word = given.action.split(".", 1)
        if equal.get("resource_type", family) != family:
            return None
        if word == "*":
            del equal["action"]
            equal["resource_type"] = family
        else:
            equal.pop("resource_type", None)
    since, until = given.start_date, given.end_date
    if since is not None and since == _EARLIEST:
        since = None  # no bound, and no moment comes before it
    if since is not None and until is not None and since > until:
        return None
    return Filters(equal, since, until)


def conditions(names: tuple[str, ...]) -> list[ColumnElement[bool]]:
    """The tenant's events under the named filters, each a parameter of its name."""
    found: list[ColumnElement[bool]] = [EVENTS.c.tenant_id == bindparam("tenant_id")]
    for name in names:
        moment = bindparam(name, type_=TIME)
        if name == "since":
            # Nothing is filed before it was created: the months before need no look.
            found += [EVENTS.c.created_at >= moment, EVENTS.c.filed_at >= moment]
        elif name == "until":
            found.append(EVENTS.c.created_at <= moment)
        else:
            found.append(EVENTS.c[name] == bindparam(name))
    return found
