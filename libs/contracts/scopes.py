"""What a credential may do: `<resource>:read` and `<resource>:write`, or `*` for all."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic.json_schema import WithJsonSchema

from contracts.fields import fault

RESOURCES = ("projects", "api_keys", "signing_keys", "users", "organizations", "webhooks")
SCOPES = (
    *(f"{resource}:{verb}" for resource in RESOURCES for verb in ("read", "write")),
    "audit:read",
    "*",
)


def covers(held: tuple[str, ...] | list[str], scope: str) -> bool:
    """Whether the held scopes include this one."""
    return "*" in held or scope in held


def _known(scope: str) -> str:
    if scope not in SCOPES:
        raise fault("unknown_scope", f"must be one of {', '.join(SCOPES)}")
    return scope


def _distinct(scopes: list[str]) -> list[str]:
    if len(set(scopes)) != len(scopes):
        raise fault("duplicate", "must not name a scope twice")
    return scopes


Scope = Annotated[
    str,
    AfterValidator(_known),
    WithJsonSchema({"type": "string", "enum": list(SCOPES), "examples": ["users:read"]}),
]
Scopes = Annotated[list[Scope], Field(max_length=len(SCOPES)), AfterValidator(_distinct)]
