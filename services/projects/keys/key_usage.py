"""The use of keys: when each was last used, and that one was refused, as the edges report it."""

from datetime import UTC, datetime, timedelta

from chassis.client_addresses import network_of
from chassis.database import ID, TIME, Connection
from chassis.purge import delete_batch
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from chassis.unit_of_work import single_statement
from contracts.lifecycle import ApiKeyRefused
from contracts.tenants import RecordUse, RefusedUse
from outbox.record import create_message, with_outbox_entry
from sqlalchemy import ARRAY, Boolean, bindparam, case, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from projects.tables import API_KEYS, REFUSALS

REFUSAL_INTERVAL = timedelta(minutes=1)

_refused = insert(REFUSALS).from_select(
    ["tenant_id", "key_id", "ip_address", "recorded_at"],
    select(
        API_KEYS.c.tenant_id,
        API_KEYS.c.id,
        bindparam("ip_address", type_=ID),
        bindparam("now", type_=TIME),
    ).where(API_KEYS.c.tenant_id == bindparam("tenant_id"), API_KEYS.c.id == bindparam("key_id")),
)
RECORD_REFUSAL = Statement(
    with_outbox_entry(
        _refused.on_conflict_do_update(
            index_elements=list(REFUSALS.primary_key),
            set_={"recorded_at": _refused.excluded.recorded_at},
            where=REFUSALS.c.recorded_at <= bindparam("since", type_=TIME),
        )
        .returning(REFUSALS.c.key_id)
        .cte("refused")
    )
)
PURGE_REFUSALS = delete_batch(
    REFUSALS, REFUSALS.c.recorded_at < func.now() - text("interval '1 hour'")
)

_uses = (
    func.unnest(
        bindparam("tenant_ids", type_=ARRAY(ID)),
        bindparam("key_ids", type_=ARRAY(ID)),
        bindparam("times", type_=ARRAY(TIME)),
        bindparam("previous", type_=ARRAY(Boolean)),
    )
    .table_valued("tenant_id", "key_id", "used_at", "previous", name="use")
    .render_derived()
)
_used = (
    select(
        _uses.c.tenant_id,
        _uses.c.key_id,
        func.max(_uses.c.used_at).label("used_at"),
        func.max(_uses.c.used_at).filter(_uses.c.previous).label("previous_used_at"),
    )
    .group_by(_uses.c.tenant_id, _uses.c.key_id)
    .subquery("used")
)
# Uses of many tenants' keys at once, each bound to the tenant that its look-up named. Locked in one
# order, so that edges that report together wait for each other and never deadlock.
_locked = (
    select(API_KEYS.c.tenant_id, API_KEYS.c.id, _used.c.used_at, _used.c.previous_used_at)
    .join(_used, (API_KEYS.c.tenant_id == _used.c.tenant_id) & (API_KEYS.c.id == _used.c.key_id))
    .order_by(API_KEYS.c.tenant_id, API_KEYS.c.id)
    .with_for_update(of=API_KEYS, key_share=True)
    .cte("locked")
)
# A use of the previous secret counts for it only if there was no rotation since. GREATEST ignores
# nulls.
RECORD_USE = Statement(
    update(API_KEYS)
    .where(API_KEYS.c.tenant_id == _locked.c.tenant_id, API_KEYS.c.id == _locked.c.id)
    .values(
        last_used_at=func.greatest(API_KEYS.c.last_used_at, _locked.c.used_at),
        previous_last_used_at=case(
            (
                _locked.c.previous_used_at >= API_KEYS.c.rotated_at,
                func.greatest(API_KEYS.c.previous_last_used_at, _locked.c.previous_used_at),
            ),
            else_=API_KEYS.c.previous_last_used_at,
        ),
    )
)


@single_statement()
async def record_refusal(conn: Connection, request: Request[RefusedUse]) -> Reply:
    """At most one a minute for each key and network, however many edges report it."""
    refused, now = request.body, datetime.now(UTC)
    message = ApiKeyRefused(resource_id=refused.key_id, code=refused.code)
    entry = create_message(request.context, message, "projects", refused.tenant_id, refused.key_id)
    await RECORD_REFUSAL.execute(
        conn,
        tenant_id=refused.tenant_id,
        key_id=refused.key_id,
        ip_address=network_of(request.context.ip_address),
        now=now,
        since=now - REFUSAL_INTERVAL,
        **entry.parameters(),
    )
    return reply_to(request)


@single_statement()
async def record_use(conn: Connection, request: Request[RecordUse]) -> Reply:
    """A time never moves backwards, in whatever order the edges report."""
    uses = request.body.uses
    await RECORD_USE.execute(
        conn,
        tenant_ids=[use.tenant_id for use in uses],
        key_ids=[use.key_id for use in uses],
        times=[use.used_at for use in uses],
        previous=[use.previous for use in uses],
    )
    return reply_to(request)
