"""The schema of a release that does not exist yet: one step further, which only expands."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from chassis import migrations
from sqlalchemy import Connection

STEP = '''
"""What may come in one release: columns with and without a default, indexes, tables."""

import sqlalchemy as sa
from alembic import op

revision = "{number:04d}"
down_revision = "{head}"

TABLES = """
SELECT relname FROM pg_class
 WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace
   AND relname <> 'alembic_version' ORDER BY relname
"""


def upgrade() -> None:
    for table in op.get_bind().execute(sa.text(TABLES)).scalars().all():
        op.add_column(table, sa.Column("later_note", sa.Text(), nullable=True))
        count = sa.Column("later_count", sa.Integer(), nullable=False, server_default="7")
        op.add_column(table, count)
        op.create_index(f"{{table}}_later", table, ["later_note"])
    op.create_table("later", sa.Column("id", sa.Text(), primary_key=True))
'''


@contextmanager
def later_release(folder: Path) -> Iterator[None]:
    """Inside, `chassis.migrate` knows one step more of each service than this release has."""
    of_this_release = migrations._config

    def config_of(service: str) -> Config:
        config = of_this_release(service)
        script = ScriptDirectory.from_config(config)
        head = script.get_current_head()
        assert head is not None
        later = folder / service
        later.mkdir(exist_ok=True)
        (later / "expand.py").write_text(STEP.format(head=head, number=int(head) + 1))
        locations = (Path(script.dir) / "versions", later)
        config.set_main_option("version_locations", ":".join(map(str, locations)))
        return config

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "_config", config_of)
        yield


def step_back(service: str, url: str) -> None:
    """All the way down, as nobody does whose data matter."""
    config = migrations._config(service)

    def work(connection: Connection) -> None:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        connection.commit()

    asyncio.run(migrations._with_connection(url, work))
