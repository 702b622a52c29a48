"""Tokens of users' sessions, signed here because a private key leaves this service in no form."""

import time
from functools import lru_cache

import jwt
import orjson
from chassis.database import Connection
from chassis.encryption import Keyring
from chassis.request import Reply, Request, reply_to
from chassis.statements import Statement
from contracts.ids import is_id
from contracts.problems import Problem, not_found
from contracts.signing_keys import SignToken
from sqlalchemy import bindparam, select

from projects import key_material
from projects.signing_keys import associated_data
from projects.tables import PROJECTS, SIGNING_KEYS, TENANTS

SIGNER = Statement(
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
    )
)


@lru_cache(maxsize=1024)
def _opened(keys: Keyring, kid: str, sealed: str) -> key_material.PrivateKey:
    return key_material.opened(keys.open(sealed, associated_data(kid)))


async def sign(conn: Connection, request: Request[SignToken]) -> Reply:
    """A JWT by the active key; who says so, to whom and until when is the project's to say."""
    project_id = request.body.project_id
    if not is_id("prj", project_id):
        raise not_found()
    row = await SIGNER.fetch_one(conn, tenant_id=request.tenant, project_id=project_id)
    if row is None or row["tenant_status"] == "deleting":
        raise not_found()
    # A refresh carries no API key that the edge could refuse.
    if row["tenant_status"] == "suspended":
        raise Problem("tenant_suspended", "The tenant is suspended. Ask your operator.")
    settings, now = orjson.loads(row["settings"]), int(time.time())
    lifetime = settings["access_token_ttl"]
    claims = {
        **request.body.claims,
        "iss": project_id,
        "aud": project_id,
        "pid": project_id,
        "iat": now,
        "exp": now + lifetime,
    }
    key = _opened(request.keys, row["id"], row["private_key"])
    token = jwt.encode(claims, key, algorithm=row["algorithm"], headers={"kid": row["id"]})
    return reply_to(
        request,
        {
            "token": token,
            "expires_in": lifetime,
            "refresh_token_ttl": settings["refresh_token_ttl"],
            "session_idle_timeout": settings["session_idle_timeout"],
        },
    )
