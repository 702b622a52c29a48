"""Rotates the key that signs access tokens, in the database of projects.

The projects service notices within seconds and tells the edges.
"""

from contracts.problems import Problem
from projects.tokens import token_keys

from tenantry.errors import CommandFailed
from tenantry.installation import Installation
from tenantry.operations.databases import connect
from tenantry.operations.key_rotation import keyring_of


async def rotate_token_key(installation: Installation, *, leaked: bool) -> str:
    """The id of the key that signs from now on."""
    keyring = keyring_of(installation, "projects")
    async with connect("projects", installation.database_url("projects")) as conn:
        try:
            async with conn.transaction():
                return await token_keys.rotate(conn, keyring, leaked=leaked)
        except Problem as problem:
            fix = "Wait, or use --leaked if the key that signs must not be trusted any more."
            raise CommandFailed(problem.detail, fix, code=problem.code) from None
