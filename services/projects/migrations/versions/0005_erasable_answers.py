"""Stored answers say which users and invitations they show, to be erased with them."""

from chassis.migrations import add_mentions, remove_mentions

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    add_mentions()


def downgrade() -> None:
    remove_mentions()
