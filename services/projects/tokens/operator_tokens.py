"""Access tokens with which the operator looks into one tenant, and acts there.

They are as those of API keys, but belong to none: nothing is stored, and an edge takes them as long
as the operator's key is the one by which they were asked for.
"""

import time

from chassis.database import Connection
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from chassis.unit_of_work import read_only
from contracts.operator_calls import OPERATOR_SUBJECT, IssueOperatorToken, OperatorKeyQuery
from contracts.problems import not_found
from contracts.tenants import TOKEN_LIFETIME
from sqlalchemy import bindparam, select

from projects.tables import TENANTS
from projects.tokens.access_tokens import sign

FIND_TENANT = Statement(
    select(TENANTS.c.id).where(
        TENANTS.c.id == bindparam("tenant_id"), TENANTS.c.status != "deleting"
    )
)


@read_only()
async def issue_operator_token(
    conn: Connection, request: Request[IssueOperatorToken, OperatorKeyQuery]
) -> Reply:
    """Of a tenant that is suspended too; the edge lets it read there alone."""
    tenant_id = request.path["id"]
    if await FIND_TENANT.fetch_value(conn, tenant_id=tenant_id) is None:
        raise not_found()
    claims = {
        "sub": OPERATOR_SUBJECT,
        "tid": tenant_id,
        "operator_key": request.query.operator_key,
        "scope": request.body.scope,
    }
    token = await sign(conn, request.keyring, claims, int(time.time()) + TOKEN_LIFETIME)
    return reply_to(request, token)
