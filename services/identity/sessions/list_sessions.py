"""The sessions of a user, the newest first. Those that have ended are listed for a month."""

from chassis.database import Connection
from chassis.listing import Listing, filters_of
from chassis.request import Reply, Request, reply_to
from chassis.rows import to_resource
from chassis.statements import Statement, any_of
from chassis.unit_of_work import read_only
from contracts.models import Body
from contracts.problems import not_found
from contracts.sessions import Session, SessionsQuery
from sqlalchemy import bindparam, case, func, not_, select

from identity.cascades import IS_SESSION_ENDED
from identity.sessions.sessions import LIVE_UNTIL
from identity.tables import SESSIONS, USERS, SessionRow

STATUS = case(
    (SESSIONS.c.status == "revoked", "revoked"),
    (SESSIONS.c.expires_at <= func.now(), "expired"),
    (IS_SESSION_ENDED, "revoked"),
    else_="active",
).label("status")
_SCOPE = {"tenant_id": SESSIONS.c.tenant_id, "user_id": SESSIONS.c.user_id}
_OF_USER = [column == bindparam(name) for name, column in _SCOPE.items()]
# Found by their index first: a quota bounds them, however many have ended.
_LIVE = (
    select(SESSIONS.c.id)
    .where(*_OF_USER, func.now() < LIVE_UNTIL, not_(IS_SESSION_ENDED))
    .correlate(None)
)
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
    scope=_SCOPE,
    filters={
        "status": lambda status: STATUS.element == status,
        "active": lambda _: SESSIONS.c.id == any_of(_LIVE),
    },
    totals={(): select(func.count()).where(*_OF_USER).correlate(None)},
)


@read_only()
async def list_sessions(conn: Connection, request: Request[Body, SessionsQuery]) -> Reply:
    scope = {"tenant_id": request.tenant, "user_id": request.path["id"]}
    if await USER_EXISTS.fetch_value(conn, **scope) is None:
        raise not_found()
    filters = filters_of(request.query)
    if filters.get("status") == "active":
        filters = {"active": True}
    rows, pagination = await LIST.page(conn, request, scope, filters)
    sessions = [to_resource(row, Session) for row in rows]
    return reply_to(request, {"sessions": sessions, "pagination": pagination})
