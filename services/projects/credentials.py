"""Who is calling: credentials looked up by their keyed hash, their uses and refusals noted.

The look-ups know no tenant yet, since it is the credential that decides it. They never write.
"""

from datetime import UTC, datetime, timedelta

from chassis.database import ID, TIME, Connection
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from contracts.api_keys import VerifyApiKey
from contracts.problems import not_found
from contracts.scopes import covers
from contracts.tenants import FindCredential, RecordUse, RefusedUse
from outbox.record import create_lifecycle_entry, with_outbox_entry
from sqlalchemy import (
    ARRAY,
    Boolean,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from projects import api_keys
from projects.tables import API_KEYS, REFUSALS, TENANTS

REFUSAL_INTERVAL = timedelta(minutes=1)

_PREVIOUS = API_KEYS.c.secret_hash != bindparam("hash")
_HAS_HASH = or_(
    API_KEYS.c.secret_hash == bindparam("hash"), API_KEYS.c.previous_hash == bindparam("hash")
)
_STATUS = case(
    (
        and_(
            _PREVIOUS,
            api_keys.STATUS.element != "revoked",
            API_KEYS.c.previous_expires_at <= func.now(),
        ),
        "expired",
    ),
    else_=api_keys.STATUS.element,
).label("status")
_FOUND = (
    API_KEYS.c.id.label("key_id"),
    API_KEYS.c.tenant_id,
    API_KEYS.c.type,
    API_KEYS.c.scopes,
    TENANTS.c.status.label("tenant_status"),
)
_WITH_TENANT = API_KEYS.join(TENANTS, TENANTS.c.id == API_KEYS.c.tenant_id)

# Of no tenant: it is what these two find out.
BY_HASH = Statement(
    select(
        *_FOUND,
        _STATUS,
        case(
            (_PREVIOUS, func.least(API_KEYS.c.expires_at, API_KEYS.c.previous_expires_at)),
            else_=API_KEYS.c.expires_at,
        ).label("expires_at"),
        _PREVIOUS.label("previous"),
    )
    .select_from(_WITH_TENANT)
    .where(_HAS_HASH)
)
BY_ID = Statement(
    select(
        *_FOUND, api_keys.STATUS, API_KEYS.c.expires_at, literal_column("false").label("previous")
    )
    .select_from(_WITH_TENANT)
    .where(API_KEYS.c.id == bindparam("id"))
)
OF_TENANT = Statement(
    select(*(_STATUS if each is api_keys.STATUS else each for each in api_keys.COLUMNS)).where(
        API_KEYS.c.tenant_id == bindparam("tenant_id"), _HAS_HASH
    )
)

_REFUSED = insert(REFUSALS).from_select(
    ["tenant_id", "key_id", "ip_address", "recorded_at"],
    select(
        API_KEYS.c.tenant_id,
        API_KEYS.c.id,
        bindparam("ip_address", type_=ID),
        bindparam("now", type_=TIME),
    ).where(API_KEYS.c.tenant_id == bindparam("tenant_id"), API_KEYS.c.id == bindparam("key_id")),
)
REFUSE = Statement(
    with_outbox_entry(
        _REFUSED.on_conflict_do_update(
            index_elements=list(REFUSALS.primary_key),
            set_={"recorded_at": _REFUSED.excluded.recorded_at},
            where=REFUSALS.c.recorded_at <= bindparam("since", type_=TIME),
        )
        .returning(REFUSALS.c.key_id)
        .cte("refused")
    )
)
FORGET_REFUSALS = Statement(
    delete(REFUSALS).where(REFUSALS.c.recorded_at < func.now() - text("interval '1 hour'"))
)

_USES = (
    func.unnest(
        bindparam("tenant_ids", type_=ARRAY(ID)),
        bindparam("key_ids", type_=ARRAY(ID)),
        bindparam("times", type_=ARRAY(TIME)),
        bindparam("previous", type_=ARRAY(Boolean)),
    )
    .table_valued("tenant_id", "key_id", "used_at", "previous", name="use")
    .render_derived()
)
_USED = (
    select(
        _USES.c.tenant_id,
        _USES.c.key_id,
        func.max(_USES.c.used_at).label("used_at"),
        func.max(_USES.c.used_at).filter(_USES.c.previous).label("previous_used_at"),
    )
    .group_by(_USES.c.tenant_id, _USES.c.key_id)
    .subquery("used")
)
# Uses of many tenants' keys at once, each bound to the tenant that its look-up named. Locked in one
# order, so that edges which flush together wait for each other and never deadlock.
_HELD = (
    select(API_KEYS.c.tenant_id, API_KEYS.c.id, _USED.c.used_at, _USED.c.previous_used_at)
    .join(_USED, (API_KEYS.c.tenant_id == _USED.c.tenant_id) & (API_KEYS.c.id == _USED.c.key_id))
    .order_by(API_KEYS.c.tenant_id, API_KEYS.c.id)
    .with_for_update(of=API_KEYS, key_share=True)
    .cte("held")
)
# A use of the previous secret counts for it only if there was no rotation since; GREATEST passes
# over nulls.
USE = Statement(
    update(API_KEYS)
    .where(API_KEYS.c.tenant_id == _HELD.c.tenant_id, API_KEYS.c.id == _HELD.c.id)
    .values(
        last_used_at=func.greatest(API_KEYS.c.last_used_at, _HELD.c.used_at),
        previous_last_used_at=case(
            (
                _HELD.c.previous_used_at >= API_KEYS.c.rotated_at,
                func.greatest(API_KEYS.c.previous_last_used_at, _HELD.c.previous_used_at),
            ),
            else_=API_KEYS.c.previous_last_used_at,
        ),
    )
)


async def find(conn: Connection, request: Request[FindCredential]) -> Reply:
    wanted = request.body
    if wanted.secret_sha256 is not None:
        row = await BY_HASH.fetch_one(
            conn, hash=api_keys.hashed(request.keys, wanted.secret_sha256)
        )
    else:
        row = await BY_ID.fetch_one(conn, id=wanted.key_id or "")
    if row is None:
        raise not_found()
    return reply_to(request, dict(row))


async def record_refusal(conn: Connection, request: Request[RefusedUse]) -> Reply:
    """At most one a minute for each key and address, however many edges tell of it."""
    refused, now = request.body, datetime.now(UTC)
    data = {"resource_id": refused.key_id, "code": refused.code}
    recorded = create_lifecycle_entry(
        request.context, "projects", "api_key.refused", refused.tenant_id, data
    )
    await REFUSE.fetch_one(
        conn,
        tenant_id=refused.tenant_id,
        key_id=refused.key_id,
        ip_address=request.context.ip_address or "",
        now=now,
        since=now - REFUSAL_INTERVAL,
        **recorded.parameters(),
    )
    return reply_to(request)


async def record_use(conn: Connection, request: Request[RecordUse]) -> Reply:
    """Never moves a time backwards, in whatever order the edges flush."""
    uses = request.body.uses
    await USE.execute(
        conn,
        tenant_ids=[use.tenant_id for use in uses],
        key_ids=[use.key_id for use in uses],
        times=[use.used_at for use in uses],
        previous=[use.previous for use in uses],
    )
    return reply_to(request)


async def verify(conn: Connection, request: Request[VerifyApiKey]) -> Reply:
    """For a customer's own backend; knows the caller's tenant only."""
    row = None
    if request.body.secret_sha256 is not None:
        hashed = api_keys.hashed(request.keys, request.body.secret_sha256)
        row = await OF_TENANT.fetch_one(conn, tenant_id=request.tenant, hash=hashed)
    if row is None:
        return reply_to(request, {"valid": False, "code": "not_found", "key": None})
    code = "valid" if row["status"] == "active" else row["status"]
    if code == "valid" and not all(covers(row["scopes"], each) for each in request.body.scopes):
        code = "insufficient_scope"
    return reply_to(request, {"valid": code == "valid", "code": code, "key": api_keys.shown(row)})
