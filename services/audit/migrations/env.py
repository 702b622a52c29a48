"""Alembic's door to the tables of audit."""

from audit.tables import METADATA
from chassis.migrations import run_env

run_env(METADATA)
