"""Invitations."""


async def revoked_with(conn, ask, organization_id):
    return []
