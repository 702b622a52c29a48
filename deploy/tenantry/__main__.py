"""`python -m tenantry`: the same command where no console script is installed."""

from tenantry.cli import app

app(prog_name="tenantry")
