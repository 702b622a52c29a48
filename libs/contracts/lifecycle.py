"""Messages between services: no webhook and no audit trail of a tenant shows them.

They travel as events do, with frozen schemas (docs/schemas/lifecycle), below
`tenantry.lifecycle.<service>`.
"""

from typing import Any, ClassVar

from contracts.ids import ApiKeyId
from contracts.models import Resource
from contracts.topology import ERASING_SERVICES, LIFECYCLE_PREFIX


class LifecycleData(Resource):
    """The `data` of one message; a subclass registers itself. `services` publish it."""

    type: ClassVar[str]
    services: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls, *, type: str, services: tuple[str, ...], **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.type = type
        cls.services = services
        LIFECYCLE_TYPES[type] = cls

    @classmethod
    def subject(cls, service: str) -> str:
        """Where that service publishes it."""
        return f"{LIFECYCLE_PREFIX}.{service}.{cls.type}"


LIFECYCLE_TYPES: dict[str, type[LifecycleData]] = {}


class TenantDeletionRequested(
    LifecycleData, type="tenant.deletion_requested", services=("projects",)
):
    """A tenant is being deleted: erase everything of it, then confirm it."""


class TenantErased(LifecycleData, type="tenant.erased", services=ERASING_SERVICES):
    """The publishing service has nothing left of the tenant."""


class PersonErased(LifecycleData, type="person.erased", services=("webhooks",)):
    """`messages` of the stream are about somebody whom the `user.deleted` of the message `deletion`
    erases: the stream erases them when every service has had them.
    """

    deletion: int
    messages: list[int]


class ApiKeyRefused(LifecycleData, type="api_key.refused", services=("projects",)):
    """A tenant's API key was used although it is dead or lacks a scope; `code` says why."""

    resource_id: ApiKeyId
    code: str
