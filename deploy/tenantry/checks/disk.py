"""The disk of a data folder: PostgreSQL and NATS stop when it is full."""

import shutil

from tenantry.checks.result import CheckResult, failed, ok, warning
from tenantry.installation import Installation

FULL_BYTES = 100 * 2**20
LOW_BYTES = 2**30


def check_disk(installation: Installation) -> list[CheckResult]:
    """Only of `tenantry dev`: disks of other servers are seen from their own machine."""
    folder = installation.folder
    if folder is None:
        return []
    free = shutil.disk_usage(folder).free
    detail = f"{free / 2**20:,.0f} MiB free"
    fix = f"Make room on the disk of {folder}: PostgreSQL and NATS stop when it is full."
    if free < FULL_BYTES:
        return [failed("disk", "the data folder", detail, fix)]
    if free < LOW_BYTES:
        return [warning("disk", "the data folder", detail, fix)]
    return [ok("disk", "the data folder", detail)]
