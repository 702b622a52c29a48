"""Alembic's door to the tables of audit."""

from audit.tables import METADATA
from chassis.migrate import run_env

run_env(METADATA)
