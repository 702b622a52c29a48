"""The sessions of a user, the newest first. Those that have ended are listed for a month."""

from chassis.database import Connection
from chassis.listing import Listing, filters_of
from chassis.request import Reply, Request, reply_to
from chassis.rows import to_resource
from chassis.statements import Statement
from chassis.unit_of_work import read_only
from contracts.models import Body
from contracts.problems import not_found
from contracts.sessions import Session, SessionsQuery
from sqlalchemy import bindparam, case, func, select

from identity.cascades import IS_SESSION_ENDED
from identity.tables import SESSIONS, USERS, SessionRow

STATUS = case(
    (SESSIONS.c.status == "revoked", "revoked"),
    (SESSIONS.c.expires_at <= func.now(), "expired"),
    (IS_SESSION_ENDED, "revoked"),
    else_="active",
).label("status")
USER_EXISTS = Statement(
    select(USERS.c.id).where(
        USERS.c.tenant_id == bindparam("tenant_id"), USERS.c.id == bindparam("user_id")
    )
)
LIST = Listing(
    row=SessionRow,
    source=SESSIONS,
    columns=[STATUS if name == "status" else SESSIONS.c[name] for name in Session.model_fields],
    key=SESSIONS.c.id,
    scope={"tenant_id": SESSIONS.c.tenant_id, "user_id": SESSIONS.c.user_id},
    filters={"status": lambda status: STATUS.element == status},
)


@read_only()
async def list_sessions(conn: Connection, request: Request[Body, SessionsQuery]) -> Reply:
    scope = {"tenant_id": request.tenant, "user_id": request.path["id"]}
    if await USER_EXISTS.fetch_value(conn, **scope) is None:
        raise not_found()
    rows, pagination = await LIST.page(conn, request, scope, filters_of(request.query))
    sessions = [to_resource(row, Session) for row in rows]
    return reply_to(request, {"sessions": sessions, "pagination": pagination})
