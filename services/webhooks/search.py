"""What `GET /v1/admin/search` finds here: a webhook or a delivery by its identifier."""

from chassis.database import ID, Connection
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from chassis.unit_of_work import read_only
from contracts.ids import is_id
from contracts.models import Body
from contracts.search import SearchQuery
from sqlalchemy import bindparam, select

from webhooks.tables import DELIVERIES, WEBHOOKS, DeliveryRow, WebhookRow

_MINE = WEBHOOKS.c.tenant_id == bindparam("tenant_id")
_q = bindparam("q", type_=ID)
GET_WEBHOOK = Statement(
    select(WEBHOOKS.c.id, WEBHOOKS.c.url, WEBHOOKS.c.description).where(_MINE, WEBHOOKS.c.id == _q),
    WebhookRow,
)
# By webhook: the key of deliveries begins with it, and a tenant has few.
GET_DELIVERY = Statement(
    select(DELIVERIES.c.id, DELIVERIES.c.webhook_id, DELIVERIES.c.event_type, DELIVERIES.c.status)
    .select_from(WEBHOOKS)
    .join(
        DELIVERIES,
        (DELIVERIES.c.tenant_id == WEBHOOKS.c.tenant_id)
        & (DELIVERIES.c.webhook_id == WEBHOOKS.c.id),
    )
    .where(_MINE, DELIVERIES.c.id == _q),
    DeliveryRow,
)


@read_only()
async def search_webhooks(conn: Connection, request: Request[Body, SearchQuery]) -> Reply:
    q, scope = request.query.q, {"tenant_id": request.tenant}
    if is_id("whk", q):
        found = await GET_WEBHOOK.fetch_all(conn, **scope, q=q)
        results = [
            {
                "type": "webhook",
                "id": row.id,
                "name": row.url,
                "detail": row.description,
                "path": f"/v1/admin/webhooks/{row.id}",
            }
            for row in found
        ]
    else:
        deliveries = await GET_DELIVERY.fetch_all(conn, **scope, q=q)
        results = [
            {
                "type": "delivery",
                "id": row.id,
                "name": row.event_type,
                "detail": row.status,
                "path": f"/v1/admin/webhooks/{row.webhook_id}/deliveries/{row.id}",
            }
            for row in deliveries
        ]
    return reply_to(request, {"results": results})
