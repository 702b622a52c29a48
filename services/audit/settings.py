"""Settings of audit beyond those of every service."""

from typing import Annotated

from chassis.settings import ServiceSettings
from pydantic import Field


class AuditSettings(ServiceSettings):
    """`audit_retention_days`: how long events are kept at least; without it, for ever."""

    encrypts = False  # it stores no secret

    audit_retention_days: Annotated[int, Field(ge=1)] | None = None
