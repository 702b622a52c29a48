"""Tokens of users' sessions, signed here: no private key leaves this service in any form."""

import time
from functools import lru_cache

import jwt
import orjson
from chassis.database import Connection
from chassis.encryption import Keyring, SecretId
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from chassis.unit_of_work import read_only
from contracts.ids import is_id
from contracts.problems import Problem, not_found
from contracts.signing_keys import SignToken
from sqlalchemy import bindparam, select
from sqlmodel import SQLModel

from projects.signing import key_material
from projects.tables import PROJECTS, SIGNING_KEYS, TENANTS


class ActiveKey(SQLModel):
    """The active key of a project, with the settings of the project and the tenant's status."""

    id: str
    algorithm: str
    private_key: str
    settings: str
    tenant_status: str


GET_ACTIVE_KEY = Statement(
    select(
        SIGNING_KEYS.c.id,
        SIGNING_KEYS.c.algorithm,
        SIGNING_KEYS.c.private_key,
        PROJECTS.c.settings,
        TENANTS.c.status.label("tenant_status"),
    )
    .join(
        PROJECTS,
        (PROJECTS.c.tenant_id == SIGNING_KEYS.c.tenant_id)
        & (PROJECTS.c.id == SIGNING_KEYS.c.project_id),
    )
    .join(TENANTS, TENANTS.c.id == PROJECTS.c.tenant_id)
    .where(
        SIGNING_KEYS.c.tenant_id == bindparam("tenant_id"),
        SIGNING_KEYS.c.project_id == bindparam("project_id"),
        SIGNING_KEYS.c.status == "active",
    ),
    ActiveKey,
)


@lru_cache(maxsize=1024)
def _private_key(keyring: Keyring, secret: SecretId, encrypted: str) -> key_material.PrivateKey:
    return key_material.load(keyring.decrypt(encrypted, secret))


@read_only()
async def sign_token(conn: Connection, request: Request[SignToken]) -> Reply:
    """A JWT by the active key; the project decides issuer, audience and lifetime."""
    project_id = request.body.project_id
    if not is_id("prj", project_id):
        raise not_found()
    row = await GET_ACTIVE_KEY.fetch_one(conn, tenant_id=request.tenant, project_id=project_id)
    if row is None or row.tenant_status == "deleting":
        raise not_found()
    # A refresh carries no API key that the edge could refuse.
    if row.tenant_status == "suspended":
        raise Problem("tenant_suspended", "The tenant is suspended. Ask your operator.")
    settings, now = orjson.loads(row.settings), int(time.time())
    lifetime = settings["access_token_ttl"]
    claims = {
        **request.body.claims,
        "iss": project_id,
        "aud": project_id,
        "pid": project_id,
        "iat": now,
        "exp": now + lifetime,
    }
    secret = key_material.secret_id(request.tenant, row.id)
    key = _private_key(request.keyring, secret, row.private_key)
    token = jwt.encode(claims, key, algorithm=row.algorithm, headers={"kid": row.id})
    return reply_to(
        request,
        {
            "token": token,
            "expires_in": lifetime,
            "refresh_token_ttl": settings["refresh_token_ttl"],
            "session_idle_timeout": settings["session_idle_timeout"],
        },
    )
