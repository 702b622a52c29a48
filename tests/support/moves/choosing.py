"""What every move draws: whose credential, which identifier, which headers; and how it asks."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine
from support.api import Answer
from support.model.dialogue import Dialogue
from support.model.world import Tenant

UNKNOWN = "01jt7a3v9qf8mbd2m0q5k4h6xz"
T = TypeVar("T")
IF_MATCH = ["current", "stale", "*", '"999"', "list"]


class Moves(RuleBasedStateMachine):
    """The state of one example. `sound` until the two disagree: then nothing more is compared."""

    def __init__(self, dialogue: Dialogue) -> None:
        super().__init__()
        self.dialogue = dialogue
        self.sound = True
        self.keyed: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.tokens: list[str] = []
        self.walks: list[tuple[str, str, dict[str, str]]] = []

    def ask(self, *request: Any, **headers: str) -> Answer:
        """What both said; see Dialogue.ask."""
        answer = self.agreed(lambda: self.dialogue.ask(*request, **headers))
        if "idempotency_key" in headers:
            self.keyed.append((request, headers))
        return answer

    def agreed(self, compare: Callable[[], T]) -> T:
        self.sound = False
        result = compare()
        self.sound = True
        return result

    def caller(self, data: st.DataObject) -> str:
        """One of the tenants; seldom one that was deleted."""
        world = self.dialogue.world
        return data.draw(seldom(world.gone, [*world.tenants]), label="tenant")

    def tenant(self, caller: str) -> Tenant:
        """What the caller has; a deleted one has nothing."""
        gone = Tenant({}, "", self.dialogue.world.cursors)
        return self.dialogue.world.tenants.get(caller, gone)

    def an_id(self, data: st.DataObject, caller: str, kind: str, own: Iterable[str]) -> str:
        """One of the caller's; seldom a deleted one, another tenant's, an unknown or a bad one."""
        mine, tenant = [*own], self.tenant(caller)
        foreign = [
            each
            for other in self.dialogue.world.tenants.values()
            if other is not tenant
            for each in (*other.projects, *other.users, *other.organizations)
        ]
        strange = [
            *[each for each in tenant.gone if each.startswith(kind)][-1:],
            *[each for each in foreign if each.startswith(kind)][-1:],
            f"{kind}_{UNKNOWN}",
            "nonsense",
        ]
        return data.draw(seldom(strange, mine), label=kind)

    def headers(
        self, data: st.DataObject, method: str, path: str, shown: dict[str, Any] | None = None
    ) -> dict[str, str]:
        """An Idempotency-Key now and then, and If-Match where there is a version."""
        drawn = {}
        key = data.draw(seldom(["a", "b", "c"], [None]), label="key")
        # What is no identifier is refused before anybody looks at the key.
        if key is not None and "nonsense" not in path:
            drawn["idempotency_key"] = f"{self.dialogue.name}-{key}"
        if method != "POST" and shown is not None:
            match = data.draw(seldom(IF_MATCH, [None]), label="if_match")
            if match is not None:
                version = shown["version"]
                words = {
                    "current": f'"{version}"',
                    "stale": f'"{version - 1}"',
                    "list": f'"999", "{version}"',
                }
                drawn["if_match"] = words.get(match, match)
        return drawn


def seldom(strange: list[Any], usual: list[Any]) -> st.SearchStrategy[Any]:
    """Mostly one of the usual values: they stand at both ends, which are drawn the most."""
    often = usual * (1 + 5 * len(strange) // len(usual)) if usual else []
    return st.sampled_from([*often, *strange, *often])


def some(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A body: the fields that must be there and any of the others, each from a list of values."""
    return st.fixed_dictionaries(
        {name: st.sampled_from(values) for name, values in required.items()},
        optional={name: st.sampled_from(values) for name, values in optional.items()},
    )


NAMES = [
    "Acme",
    "acme b",
    "  Zoe\u0301 & Sons ",
    "Zo\u00e9 & Sons",
    "\u682a\u5f0f\u4f1a\u793e",
    "\u00c9COLE 42",
    "n" * 80,
]
SLUGS = ["acme", "b", "zoe-sons", "ecole-42"]
EMAILS = [
    "ada@example.com",
    "bob@example.com",
    "cy@example.net",
    " eve@EXAMPLE.org ",
    "Eve@example.org",
    "zo\u00eb@example.com",
    "ZO\u00cb@example.com",
    "ADA@Example.com",
]
ROLES = ["member", "owner", "owner", "admin", "billing_2"]
PERMISSIONS: list[list[str]] = [[], ["billing:read"], ["reports:read", "billing:write"]]
METADATA = [
    {},
    {"plan": "pro"},
    {"plan": "free", "seats": 1},
    {"seats": 1},
    {"seats": True, "plan": None},
    {"deep": {"er": [1, {"x": None}], "e\u0301": "\u00df"}},
]
PATCHES = [
    *METADATA,
    {"plan": None},
    {"seats": True},
    {"deep": {"er": None}},
    {"deep": {"more": 2.5}},
]
