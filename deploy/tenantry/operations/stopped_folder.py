"""An installation to work on when nothing runs: the PostgreSQL of a data folder, started for it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from contracts.topology import SERVICE_NAMES

from tenantry.data_folder.folder import open_data_folder
from tenantry.data_folder.running import find_running
from tenantry.data_folder.secrets import load_or_create
from tenantry.errors import Misconfigured
from tenantry.installation import Installation, find_folder, find_installation
from tenantry.servers import Servers


@asynccontextmanager
async def open_installation(
    data: Path | None, check: Callable[[Installation], None] = lambda _: None
) -> AsyncIterator[Installation]:
    """What runs, as for any command; else the PostgreSQL of the data folder, stopped at the end.

    `check` comes before anything is started; what it raises is raised. Raises Misconfigured for a
    folder without secrets: new ones would open nothing old.
    """
    folder = find_folder(data)
    if folder is None or find_running(folder) is not None:
        running = find_installation(data)
        check(running)
        yield running
        return
    secrets_file = folder / "secrets.json"
    if not secrets_file.is_file():
        raise Misconfigured(
            f"{folder} has no secrets.json",
            "Name a data folder of `tenantry dev` with --data. To restore into a new folder, copy "
            "the secrets.json there that belongs to the backup.",
        )
    with open_data_folder(folder) as opened:
        servers = Servers(opened, load_or_create(secrets_file))
        stopped = Installation(
            origin=str(folder),
            folder=folder,
            database_urls={each: servers.database_url(each) for each in SERVICE_NAMES},
            migration_urls={each: servers.migration_url(each) for each in SERVICE_NAMES},
            nats_admin_url=None,
            redis_url=None,
            hash_keys=servers.secrets.hash_keys,
            encryption_keys=servers.secrets.encryption_keys,
            oldest_hash_key=servers.secrets.hash_key,
        )
        check(stopped)
        try:
            await servers.start_postgres()
            yield stopped
        finally:
            await servers.stop()
