"""The chain: what an event's digest is made of, and why personal data can be erased all the same.

    digest     = SHA-256(canonical JSON of the entry)
    commitment = SHA-256(salt, then canonical JSON of the personal part), or null without one

The entry has exactly these members: `action, actor_id, actor_type, changes, created_at, id,
personal, previous, reason, request_id, resource_id, resource_type, sequence, tenant_id,
traceparent`. `changes` are the fields that are not personal, `personal` is the commitment and
`previous` the digest of the event before (null for sequence 1), both as hexadecimal.

The personal part has exactly `changes` (the personal fields alone), `ip_address`, `user_agent`.
Whose address that is (who did it), and whose fields have changed, may be two people: so `changes`
are `{}` if there are none, else `{"sha256": <hexadecimal>}`, which binds the subject's part:

    SHA-256(another salt, then canonical JSON of the changed personal fields)

Older entries have the fields themselves as `changes` of their personal part.

Canonical JSON: UTF-8 without blanks, members sorted by code point, in strings only the escapes that
JSON demands, numbers and times spelled as an export shows them. In an NDJSON export, `personal`
names the personal fields of `changes`, and `seal` holds salt, commitment and digest; `subject` and
`subject_salt` are those of the subject's part, both null for older entries. So in Python:

    json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

Each salt is 128 random bits of its own, so that an erased address cannot be guessed from the
commitment that stays. When a part is erased with its salt, the digest is as valid as before.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import orjson
from contracts.personal_data import NOT_PERSONAL, PERSONAL_RESOURCES

SALT_BYTES = 16
EMPTY = "{}"
_BINDING = '{"sha256":"'
# A changed field is an object with `from` and `to`, so a field of this name is told apart.

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC

_SECRET = re.compile(
    r"(^|_)(secrets?|tokens?|passwords?|passphrase|hash|hashes|sha256|private_key|private_jwk"
    r"|api_key|authorization|cookies?|credentials?)$"
)
_WORD_BEGINS = re.compile(r"-|(?<=[a-z0-9])(?=[A-Z])")


class DigestedColumns(Protocol):
    """The columns of an event that its digest is made of."""

    tenant_id: str
    sequence: int
    id: str
    action: str
    resource_type: str
    resource_id: str
    actor_type: str
    actor_id: str | None
    request_id: str
    traceparent: str
    reason: str | None
    changes: str
    created_at: datetime
    commitment: bytes | None


@dataclass
class StoredEvent:
    """An event as it is stored; the last six are its personal part, null once that is erased.

    The changes are canonical JSON. `personal_changes` are those of the personal part;
    `subject_changes` what they bind, if they bind a part of its own that is not erased.
    """

    tenant_id: str
    sequence: int
    id: str
    action: str
    resource_type: str
    resource_id: str
    actor_type: str
    actor_id: str | None
    request_id: str
    traceparent: str
    reason: str | None
    changes: str
    created_at: datetime
    commitment: bytes | None
    digest: bytes
    salt: bytes | None
    ip_address: str | None
    user_agent: str | None
    personal_changes: str | None
    subject_salt: bytes | None
    subject_changes: str | None


def canonical_json(value: Any) -> bytes:
    """JSON with one spelling; an `orjson.Fragment`, canonical already, passes through."""
    return orjson.dumps(value, option=_OPTIONS)


def commitment(salt: bytes, changes: str, ip_address: str | None, user_agent: str | None) -> bytes:
    """Binds the personal part without revealing it; `changes` is canonical JSON."""
    part = {
        "changes": orjson.Fragment(changes),
        "ip_address": ip_address,
        "user_agent": user_agent,
    }
    return hashlib.sha256(salt + canonical_json(part)).digest()


def bind_subject(salt: bytes, changes: str) -> str:
    """What the personal part has as its changes: it binds them without revealing them."""
    return to_binding(hashlib.sha256(salt + changes.encode()).hexdigest())


def to_binding(digest: str) -> str:
    """The changes of a personal part that bind the subject's part of this digest."""
    return f'{_BINDING}{digest}"}}'


def bound_digest(personal_changes: str | None) -> str | None:
    """The digest of the subject's part, if the changes of a personal part bind one."""
    if personal_changes is None or not personal_changes.startswith(_BINDING):
        return None
    return personal_changes[len(_BINDING) : -2]


class ErasableColumns(Protocol):
    """The changes of a personal part, as a `StoredEvent` has them."""

    personal_changes: str | None
    subject_changes: str | None


def erasable_changes(event: ErasableColumns) -> str:
    """The changed personal fields, as far as they are still there."""
    if bound_digest(event.personal_changes) is None:
        return event.personal_changes or EMPTY
    return event.subject_changes or EMPTY


def entry_json(event: DigestedColumns, previous: bytes | None) -> bytes:
    """The canonical JSON of an event after the one before: digested, and a leaf of the tree."""
    personal = event.commitment
    entry = {
        "action": event.action,
        "actor_id": event.actor_id,
        "actor_type": event.actor_type,
        "changes": orjson.Fragment(event.changes),
        "created_at": event.created_at,
        "id": event.id,
        "personal": None if personal is None else personal.hex(),
        "previous": None if previous is None else previous.hex(),
        "reason": event.reason,
        "request_id": event.request_id,
        "resource_id": event.resource_id,
        "resource_type": event.resource_type,
        "sequence": event.sequence,
        "tenant_id": event.tenant_id,
        "traceparent": event.traceparent,
    }
    return canonical_json(entry)


def digest(event: DigestedColumns, previous: bytes | None) -> bytes:
    """The digest of an event after the one before."""
    return hashlib.sha256(entry_json(event, previous)).digest()


def split_changes(resource_type: str, changes: Mapping[str, Any]) -> tuple[str, str]:
    """Canonical JSON of the plain and of the personal changes, both without secrets."""
    if not changes:
        return EMPTY, EMPTY
    kept = remove_secrets(changes)
    if resource_type not in PERSONAL_RESOURCES:
        return canonical_json(kept).decode(), EMPTY
    plain = {name: change for name, change in kept.items() if name in NOT_PERSONAL}
    personal = {name: change for name, change in kept.items() if name not in NOT_PERSONAL}
    return canonical_json(plain).decode(), canonical_json(personal).decode()


def join_changes(plain: str, personal: str) -> str:
    """Both parts of the changes as one JSON object, without decoding either."""
    if personal == EMPTY:
        return plain
    return personal if plain == EMPTY else f"{plain[:-1]},{personal[1:]}"


def remove_secrets(value: Any) -> Any:
    """The same without members whose name says that they hold a secret, at any depth.

    Events have none; this is the second lock. `access_token_ttl` is a time and stays.
    """
    if isinstance(value, Mapping):
        return {
            name: remove_secrets(member)
            for name, member in value.items()
            if not _SECRET.search(_WORD_BEGINS.sub("_", name).lower())
        }
    if isinstance(value, list):
        return [remove_secrets(member) for member in value]
    return value
