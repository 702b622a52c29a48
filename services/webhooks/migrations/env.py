"""Alembic's door to the tables of webhooks."""

from chassis.migrations import run_env
from webhooks.tables import METADATA

run_env(METADATA)
