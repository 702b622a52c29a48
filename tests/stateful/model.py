"""A model of the product: plain dictionaries and no code of the product.

`Model.expect` is given a request and says which response the contract asks for. What the product
alone can choose (identifiers, secrets, the time) is taken from its own response, and checked.
"""

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
from stateful.values import TimeBetween, same_json

Row = dict[str, Any]
Ids = tuple[str, ...]
OPERATOR, USER_AGENT = "operator", "stateful"
MALFORMED = "nonsense"
IDENTIFIER = rf"(?<=/)(?:[a-z]{{3}}_\w{{26}}|{MALFORMED})(?=/|$)"
VERSIONED = {
    f"{method} /v1/admin/{name}/{{}}"
    for method in ("PATCH", "DELETE")
    for name in ("tenants", "projects", "users", "organizations")
}
"""What has a version that `If-Match` can name."""


class ApiError(Exception):
    """The response is a problem. Where several codes apply at once, any of them is right."""

    def __init__(self, status: int, *codes: str, field: str | None = None) -> None:
        super().__init__(status, *codes)
        self.allowed = {(422 if code == "validation_failed" else status, code) for code in codes}
        self.field = field


def raise_conflicts(conflicts: list[str]) -> None:
    if conflicts:
        raise ApiError(409, *conflicts)


@dataclass(frozen=True)
class Expected:
    """A success. `created_id` ends its Location; `replay_of` comes again byte for byte."""

    status: int = 200
    body: Any = None
    created_id: str | None = None
    may_be_accepted: bool = False
    replay_of: httpx.Response | None = None


@dataclass
class Account:
    """A credential and what its owner has: `rows` by resource and identifiers, oldest first."""

    secret: str | None
    actor: tuple[str, str | None]
    rows: defaultdict[str, dict[Ids, Row]] = field(default_factory=lambda: defaultdict(dict))
    events: list[Row] = field(default_factory=list)
    responses: dict[str, tuple[Any, httpx.Response]] = field(default_factory=dict)
    was_refused: bool = False

    def find(self, resource: str, ids: Ids) -> Row:
        """What is absent, malformed or another tenant's is the same 404."""
        if ids not in self.rows[resource]:
            raise ApiError(404, "not_found")
        return self.rows[resource][ids]


@dataclass
class Request:
    """`caller` is a tenant's identifier, the operator or None for anybody. The client adds the
    product's response, the model the rest; `ids` are those in the path.
    """

    caller: str | None
    method: str
    path: str
    json: Row | None = None
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    invalid_field: str | None = None
    id: str = field(init=False)
    response: httpx.Response = field(init=False)
    times: tuple[datetime, datetime] = field(init=False)
    model: "Model" = field(init=False)
    account: Account = field(init=False)
    actor: tuple[str, str | None] = field(init=False)
    ids: Ids = field(init=False)

    @property
    def body(self) -> Row:
        return self.json or {}

    @property
    def response_body(self) -> Any:
        """The body of a response that must be a success."""
        assert self.response.is_success, f"{self.response} {self.response.text}"
        return self.response.json()

    def time(self, shown: str | None = None, *, seconds: float = 0) -> Any:
        """The time of this request, or so many seconds later; its bounds, if it is not shown."""
        tolerance = timedelta(milliseconds=5)
        earliest, latest = (time + timedelta(seconds=seconds) for time in self.times)
        time = TimeBetween(earliest - tolerance, latest + tolerance)
        return time if shown is None else time.check(shown)

    def record_event(self, action: str, resource_id: str, changes: Row | None = None) -> None:
        """Adds an event, as the feed shows it."""
        event = {
            "action": action,
            "resource_type": action.partition(".")[0],
            "resource_id": resource_id,
            "actor_type": self.actor[0],
            "actor_id": self.actor[1],
            "request_id": self.id,
            "changes": changes or {},
            "ip_address": "127.0.0.1",
            "user_agent": USER_AGENT,
        }
        self.account.events.append(event)


Operations = dict[str, Callable[[Request], Expected]]


class Model:
    """`accounts` are by caller; a deleted tenant's stays. `operations` are by method and path."""

    def __init__(self, operations: Operations, operator_key: str) -> None:
        self.operations = operations
        self.operator = Account(operator_key, (OPERATOR, None))
        self.tenants = self.operator.rows["tenants"]
        anybody = Account(None, ("anonymous", None))
        self.accounts: dict[str | None, Account] = {OPERATOR: self.operator, None: anybody}
        self.cursors: dict[str, Any] = {}
        self.tokens: set[str] = set()

    def expect(self, request: Request) -> Expected | ApiError:
        """What the response must be."""
        try:
            return self._expect(request)
        except ApiError as error:
            return error

    def _expect(self, request: Request) -> Expected:
        account = self.accounts[request.caller]
        request.model, request.account, request.actor = self, account, account.actor
        request.ids = tuple(re.findall(IDENTIFIER, request.path))
        path = re.sub(IDENTIFIER, "{}", request.path)
        if request.caller is not None:
            self._authorize(request, path)
        conditional = request.headers.get("if_match", "*").strip() != "*"
        if conditional and request.method != "GET" and f"{request.method} {path}" not in VERSIONED:
            raise ApiError(412, "version_mismatch")
        if request.invalid_field is not None:
            raise ApiError(422, "validation_failed", field=request.invalid_field)
        if (replay := self._replay(request)) is not None:
            return replay
        if "/organizations/{}/" in path:
            account.find("organizations", request.ids[:1])
        return self.operations[f"{request.method} {path}"](request)

    def _authorize(self, request: Request, path: str) -> None:
        """Tenants are the operator's, all else is a tenant's; each may read and change itself."""
        tenant = self.tenants.get((str(request.caller),))
        if tenant is None and request.account is not self.operator:
            raise ApiError(401, "unauthenticated")
        if tenant is not None and tenant["status"] == "suspended":
            request.account.was_refused = True
            raise ApiError(403, "tenant_suspended")
        itself = path == "/v1/admin/tenants/{}" and request.method != "DELETE"
        of_operator = path.startswith("/v1/admin/tenants")
        if not itself and of_operator != (request.account is self.operator):
            raise ApiError(403, "insufficient_scope")

    def _replay(self, request: Request) -> Expected | None:
        """The first response with this idempotency key. No key is kept of what is malformed."""
        key = request.headers.get("idempotency_key")
        if key is None or MALFORMED in (*request.ids, *request.body.values()):
            return None
        content = [request.method, request.path, request.query, request.body]
        first, response = request.account.responses.setdefault(key, (content, request.response))
        if response is request.response:
            return None
        if not same_json(first, content):
            raise ApiError(422, "idempotency_key_reused")
        return Expected(replay_of=response)
