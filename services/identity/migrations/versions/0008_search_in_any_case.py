"""A search finds a text in any case that Unicode knows: what it compares is computed anew."""

import sqlalchemy as sa
from alembic import op
from chassis.case_folding import create_fold_search

revision = "0008"
down_revision = "0007"

USER = (
    "E'\\n' || email || E'\\n' || coalesce(username, '') || E'\\n'"
    " || coalesce(name, '') || E'\\n' || coalesce(external_id, '')"
)
ORGANIZATION = "name || E'\\n' || slug"


def upgrade() -> None:
    op.execute(create_fold_search(op.get_bind().dialect.server_version_info or ()))
    for table, text in (("users", USER), ("organizations", ORGANIZATION)):
        _rebuild_search(table, f"fold_search({text})", sa.Text(collation="C"))


def downgrade() -> None:
    for table, text in (("users", USER), ("organizations", ORGANIZATION)):
        _rebuild_search(table, f'lower(({text}) COLLATE "default")', sa.Text())
    op.execute("DROP FUNCTION public.fold_search(text)")


def _rebuild_search(table: str, expression: str, kind: sa.Text) -> None:
    """PostgreSQL 16 cannot change the expression of a computed column: it is made anew."""
    op.drop_column(table, "search")
    op.add_column(table, sa.Column("search", kind, sa.Computed(expression, persisted=True)))
    op.create_index(
        f"{table}_search",
        table,
        ["tenant_id", "search"],
        postgresql_using="gin",
        postgresql_ops={"search": "gin_trgm_ops"},
    )
