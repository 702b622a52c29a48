"""Credentials: API keys looked up by the keyed hash of their secret. These reads never write.

The edge's look-ups know no tenant yet: it is the credential that decides it.
"""

from chassis.database import Connection
from chassis.encryption import Keyring
from chassis.request import Reply, Request, reply_to
from chassis.rows import to_resource
from chassis.statements import Statement
from chassis.unit_of_work import read_only
from contracts.api_keys import VerifyApiKey
from contracts.problems import not_found
from contracts.scopes import covers
from contracts.tenants import FindCredential, FoundCredential
from sqlalchemy import and_, bindparam, case, func, literal_column, or_, select

from projects.keys.key_rows import COLUMNS, STATUS, secret_hashes, status_of, to_api_key
from projects.tables import API_KEYS, TENANTS, ApiKeyRow

_IS_PREVIOUS = API_KEYS.c.secret_hash != bindparam("hash")
_HAS_HASH = or_(
    API_KEYS.c.secret_hash == bindparam("hash"), API_KEYS.c.previous_hash == bindparam("hash")
)
_STATUS = status_of(and_(_IS_PREVIOUS, API_KEYS.c.previous_expires_at <= func.now()))
_FOUND = (
    API_KEYS.c.id.label("key_id"),
    API_KEYS.c.tenant_id,
    API_KEYS.c.type,
    API_KEYS.c.scopes,
    TENANTS.c.status.label("tenant_status"),
    API_KEYS.c.secret_version,
    API_KEYS.c.previous_expires_at,
    TENANTS.c.quotas,
)
_WITH_TENANT = API_KEYS.join(TENANTS, TENANTS.c.id == API_KEYS.c.tenant_id)

GET_BY_HASH = Statement(
    select(
        *_FOUND,
        _STATUS,
        case(
            (_IS_PREVIOUS, func.least(API_KEYS.c.expires_at, API_KEYS.c.previous_expires_at)),
            else_=API_KEYS.c.expires_at,
        ).label("expires_at"),
        _IS_PREVIOUS.label("previous"),
    )
    .select_from(_WITH_TENANT)
    .where(_HAS_HASH),
    FoundCredential,
)
GET_BY_ID = Statement(
    select(*_FOUND, STATUS, API_KEYS.c.expires_at, literal_column("false").label("previous"))
    .select_from(_WITH_TENANT)
    .where(API_KEYS.c.id == bindparam("id")),
    FoundCredential,
)
GET_OF_TENANT = Statement(
    select(*(_STATUS if each is STATUS else each for each in COLUMNS)).where(
        API_KEYS.c.tenant_id == bindparam("tenant_id"), _HAS_HASH
    ),
    ApiKeyRow,
)


async def find_by_secret(
    conn: Connection, keyring: Keyring, secret_sha256: str
) -> FoundCredential | None:
    """The key of a secret. One statement for each hash key, the first one first: a list of hashes
    would be planned again at each look-up, which costs more.
    """
    for each in secret_hashes(keyring, secret_sha256):
        row = await GET_BY_HASH.fetch_one(conn, hash=each)
        if row is not None:
            return row
    return None


@read_only(reserved=True)
async def find_credential(conn: Connection, request: Request[FindCredential]) -> Reply:
    wanted = request.body
    if wanted.secret_sha256 is not None:
        row = await find_by_secret(conn, request.keyring, wanted.secret_sha256)
    else:
        row = await GET_BY_ID.fetch_one(conn, id=wanted.key_id or "")
    if row is None:
        raise not_found()
    return reply_to(request, to_resource(row, FoundCredential, ("quotas",)))


@read_only()
async def verify_api_key(conn: Connection, request: Request[VerifyApiKey]) -> Reply:
    """For a customer's own backend; knows the keys of the caller's tenant alone."""
    row = None
    if request.body.secret_sha256 is not None:
        for each in secret_hashes(request.keyring, request.body.secret_sha256):
            row = row or await GET_OF_TENANT.fetch_one(conn, tenant_id=request.tenant, hash=each)
    if row is None:
        return reply_to(request, {"valid": False, "code": "not_found", "key": None})
    code = "valid" if row.status == "active" else row.status
    if code == "valid" and not all(covers(row.scopes, each) for each in request.body.scopes):
        code = "insufficient_scope"
    return reply_to(request, {"valid": code == "valid", "code": code, "key": to_api_key(row)})
