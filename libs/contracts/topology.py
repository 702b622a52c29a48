"""The topology: which services there are, what each may call and hear, and the locks they take.

NATS permissions, databases, docker-compose.yml, the chart for Kubernetes and tables of the
documentation are generated from it (`make topology`); a test compares them. A new service is one
entry here and a folder of its own (docs/adding-a-service.md). Standard library only.
"""

from dataclasses import dataclass
from enum import IntEnum

CALLS_PREFIX = "tenantry.rpc"
"""`tenantry.rpc.<service>.<call>`: requests to the owner of a call."""
EVENTS_PREFIX = "tenantry.events"
"""`tenantry.events.<service>.<type>`: events that the tenant may hear."""
LIFECYCLE_PREFIX = "tenantry.lifecycle"
"""`tenantry.lifecycle.<service>.<type>`: messages between services only."""
STREAM = "EVENTS"
STREAM_SUBJECTS = (f"{EVENTS_PREFIX}.>", f"{LIFECYCLE_PREFIX}.>")
"""What the stream keeps."""
SUBSCRIBER_PREFIX = "subscriber-"
"""What the names of durable consumers begin with that services of other teams read from."""
ERASURE_CONSUMER = "erasure"
"""The durable consumer of whoever keeps the stream: for messages about deleted people."""


@dataclass(frozen=True)
class Service:
    """A process with a database, a role in it and a user of NATS, all of its name.

    `consumes`: the subjects that its durable consumer delivers, in order. `calls`: the calls of
    other services that it may send, `<service>.<call>`. `erases_tenants`: it keeps rows of tenants
    and confirms their erasure. `is_append_only`: its runtime role gets its rights table by table.
    `reaches_internet`: its network lets it out. `encrypts`: it stores what only it can decrypt, so
    that it has encryption keys beside the hash keys that each has. `environment`: settings beside
    those that all services have, as docker-compose.yml gives them. `max_replicas` is for the
    autoscaler.
    """

    name: str
    summary: str
    consumes: tuple[str, ...]
    calls: tuple[str, ...] = ()
    erases_tenants: bool = True
    is_append_only: bool = False
    reaches_internet: bool = False
    encrypts: bool = True
    environment: tuple[str, ...] = ()
    max_replicas: int = 8


_TENANT_MESSAGES = f"{LIFECYCLE_PREFIX}.projects.tenant.>"

SERVICES = (
    Service(
        "identity",
        "Users, sessions and organizations.",
        consumes=(f"{EVENTS_PREFIX}.projects.project.deleted", _TENANT_MESSAGES),
        # Private keys never leave projects; public ones verify; a suspended tenant takes nobody in.
        calls=("projects.sign_token", "projects.get_jwks", "projects.get_tenant"),
    ),
    Service(
        "projects",
        "Tenants, projects and keys.",
        consumes=(f"{LIFECYCLE_PREFIX}.*.tenant.erased",),
        erases_tenants=False,
    ),
    Service(
        "webhooks",
        "Endpoints and deliveries. Waiting for receivers costs no CPU, so CPU is work to do.",
        consumes=(f"{EVENTS_PREFIX}.>", _TENANT_MESSAGES),
        reaches_internet=True,
        environment=("TENANTRY_WEBHOOKS_ALLOW_PRIVATE: ${TENANTRY_WEBHOOKS_ALLOW_PRIVATE:-false}",),
    ),
    Service(
        "audit",
        "The chained logs. One replica at a time consumes events; all of them answer reads.",
        consumes=(
            f"{EVENTS_PREFIX}.>",
            _TENANT_MESSAGES,
            f"{LIFECYCLE_PREFIX}.projects.api_key.>",
        ),
        is_append_only=True,
        encrypts=False,
        environment=(
            "TENANTRY_AUDIT_ORIGIN: ${TENANTRY_AUDIT_ORIGIN:-localhost}",
            "TENANTRY_AUDIT_RETENTION_DAYS:",
            "TENANTRY_AUDIT_WITNESSES: ${TENANTRY_AUDIT_WITNESSES:-}",
        ),
        max_replicas=4,
    ),
)
SERVICE_NAMES = tuple(each.name for each in SERVICES)
ENCRYPTING_SERVICES = tuple(each.name for each in SERVICES if each.encrypts)
ERASING_SERVICES = tuple(each.name for each in SERVICES if each.erases_tenants)
"""They confirm that a tenant is erased; projects, which owns the tenants, waits for all of them."""

EDGE_LISTENS = (
    f"{EVENTS_PREFIX}.projects.api_key.>",
    f"{EVENTS_PREFIX}.projects.tenant.>",
    _TENANT_MESSAGES,
)
"""What makes a credential that the edge remembers invalid."""


TOKEN_KEYS_CHANGED = f"{LIFECYCLE_PREFIX}.projects.token_keys.changed"
"""The keys that verify access tokens changed: edges fetch them again. An empty message."""


class Lock(IntEnum):
    """Advisory locks of PostgreSQL; each service's database has its own."""

    RELAY = 5_021_977_315
    CONSUMER = 5_021_977_316
    CLAIM_DELIVERIES = 5_021_977_317
    IMPORT_USERS = 5_021_977_318
    FOLD_COUNTERS = 5_021_977_319
    QUOTA = 5_021_977_320
    TOKEN_KEYS = 5_021_977_321
    FAN_OUT = 5_021_977_322
    MIGRATION = 7_306_841_512


def health_subject(service: str) -> str:
    """Where one replica of a service reports its health."""
    return f"{CALLS_PREFIX}.{service}.health"
