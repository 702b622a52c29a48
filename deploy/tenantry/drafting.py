"""Drafting a migration against a throw-away PostgreSQL at the newest revision."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from chassis import migrations

from tenantry.servers import backing_servers


async def draft(service: str, message: str) -> None:
    """Writes `<service>/migrations/versions/<number>_<message>.py`, to be read and corrected."""
    with TemporaryDirectory() as folder:
        async with backing_servers(Path(folder), with_redis=False) as servers:
            url = servers.migration_url(service)
            await asyncio.to_thread(migrations.upgrade, service, url)
            await asyncio.to_thread(migrations.draft, service, url, message)
