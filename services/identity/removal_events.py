"""The events of memberships and invitations that end, with whatever they end."""

from collections.abc import Iterable
from datetime import UTC, datetime

from chassis.rows import changed_row, to_resource
from contracts.context import Context
from contracts.invitations import Invitation, InvitationRevoked
from contracts.members import MemberRemoved
from contracts.personal_data import ERASED_EMAIL
from outbox.record import OutboxEntry, create_entry
from sqlmodel import SQLModel

from identity.tables import InvitationRow


def create_removed_entry(context: Context, user_id: str, member: SQLModel) -> OutboxEntry:
    """The event of a member who is removed. The row has what `MemberRemoved` names."""
    return create_entry(context, MemberRemoved, user_id, to_resource(member, MemberRemoved))


def create_revoked_entry(context: Context, row: InvitationRow) -> OutboxEntry:
    """The event of an invitation that is revoked."""
    invitation = to_resource(changed_row(row, status="revoked"), Invitation)
    data = {"organization_id": row.organization_id, "invitation": invitation}
    return create_entry(context, InvitationRevoked, row.id, data)


def create_revoked_entries(
    context: Context, rows: Iterable[InvitationRow], *, is_erased: bool = False
) -> list[OutboxEntry]:
    """The events of deleted invitations that were pending, by their ids; the others were closed
    already. `is_erased`: their person was erased before, and is in no event that comes later.
    """
    now = datetime.now(UTC)
    pending = [row for row in rows if row.status == "pending" and row.expires_at > now]
    return [
        create_revoked_entry(context, changed_row(row, email=ERASED_EMAIL) if is_erased else row)
        for row in sorted(pending, key=lambda row: row.id)
    ]
