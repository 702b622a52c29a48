"""Texts are folded by a function whose plans a session keeps: one row costs PostgreSQL less.

Nothing that is stored changes.
"""

from alembic import op
from chassis.case_folding import create_fold_pattern, create_fold_search

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    version = op.get_bind().dialect.server_version_info or ()
    op.execute(create_fold_search(version))
    op.execute(create_fold_pattern(version))


def downgrade() -> None:
    """The function that folds what is stored stays as it is: what it returns is the same."""
    op.execute("DROP FUNCTION public.fold_pattern(text)")
