"""Personal data in events: which fields it is, whom an event is about, and an event without it.

The one declaration for the audit trail, the outbox, the stream and the webhooks. Pure.
"""

from collections.abc import Mapping
from typing import Any

PERSONAL_RESOURCES = frozenset({"user", "member", "invitation", "session"})
"""Resources that are a person, or say something about one."""
NOT_PERSONAL = frozenset(
    {
        "status",
        "role",
        "permissions",
        "email_verified",
        "last_sign_in_at",
        "last_active_at",
        "expires_at",
        "accepted_at",
        "project_id",
        "organization_id",
        "version",
        "id",
        "user_id",
        "invited_by",
        "created_at",
        "updated_at",
        "joined_at",
    }
)
"""What may stay of a person: states, rights, times and identifiers. All else is personal, so that a
field that is added one day can be erased from its first day on. Metadata of organizations and
projects belongs to the tenant and is erased with it: no deletion of a user could find it there."""

ERASED = "erased"
ERASED_EMAIL = "erased@erased.invalid"
"""In place of text that the schema of an event requires (RFC 2606: no such domain exists)."""


def person_of(event_type: str, resource_id: str, data: Mapping[str, Any]) -> str | None:
    """The identifier of the person whom an event is about: a user, or else an invitation."""
    family = event_type.partition(".")[0]
    if family not in PERSONAL_RESOURCES:
        return None
    if family != "session":
        return resource_id  # a member is known by its user
    user_id = data.get("user_id")
    return user_id if isinstance(user_id, str) else None


def erased_people(deletion: Mapping[str, Any]) -> list[str]:
    """Whom a `user.deleted` (its data) erases: the user, and invitations of their addresses."""
    return [deletion["user_id"], *deletion.get("invitation_ids", ())]


def without_personal_data(event: Mapping[str, Any]) -> dict[str, Any]:
    """The event with identifiers, states and times alone; its form is that of its schema."""
    if event["type"].partition(".")[0] not in PERSONAL_RESOURCES:
        return dict(event)
    data = {
        name: _without(value)
        if name in PERSONAL_RESOURCES and isinstance(value, dict)
        else _without_changes(value)
        if name == "changes" and isinstance(value, dict)
        else value
        for name, value in event["data"].items()
    }
    return {**event, "data": data}


def _without(resource: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        if name in NOT_PERSONAL
        else _without(value)
        if name in PERSONAL_RESOURCES and isinstance(value, dict)
        else _blank(value)
        for name, value in resource.items()
    }


def _without_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: change
        if name in NOT_PERSONAL
        else {side: _blank(value) for side, value in change.items()}
        for name, change in changes.items()
    }


def _blank(value: Any) -> Any:
    """A value of the same kind that says nothing."""
    if isinstance(value, str):
        return ERASED_EMAIL if "@" in value else ERASED
    return None if value is None else type(value)()
