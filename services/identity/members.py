"""Members."""


async def make_owner(conn, ask, organization_id, user_id): ...
async def removed_with(conn, ask, organization_id):
    return []
