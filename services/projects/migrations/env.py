"""Alembic's door to the tables of projects."""

from chassis.migrations import run_env
from projects.tables import METADATA

run_env(METADATA)
