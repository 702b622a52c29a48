"""A call: one imperative that the edge (or, once, a service) says to the one owner who answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from contracts.models import Body, Query, Resource
from contracts.topology import CALLS_PREFIX


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """What is asked and what comes back.

    `path` names the prefix of each identifier in the URL: another form is a 404. `status` is the
    status of success, `result` its body (None: no body). `problems` are the codes beyond those
    that any call can have. `shows_secret`: the result has a secret, which a repeat shows again to
    the same credential alone. `may_lag`: a read replica may answer, if the installation has one:
    then the result lacks what was written in the last seconds.
    """

    service: str
    name: str
    body: type[Body] | None = None
    query: type[Query] = Query
    result: type[Resource] | None = None
    status: int = 200
    path: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    shows_secret: bool = False
    may_lag: bool = False

    @property
    def subject(self) -> str:
        return f"{CALLS_PREFIX}.{self.service}.{self.name}"
