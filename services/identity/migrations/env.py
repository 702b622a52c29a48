"""Alembic's door to the tables of identity."""

from chassis.migrations import run_env
from identity.tables import METADATA

run_env(METADATA)
