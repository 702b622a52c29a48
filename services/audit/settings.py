"""Settings of audit beyond those of every service."""

import re
from typing import Annotated

from chassis.settings import ServiceSettings, parse_keys
from pydantic import Field, SecretStr, field_validator

from audit.witness import Witness

_ORIGIN = re.compile(r"[a-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._-]+)*")


class AuditSettings(ServiceSettings):
    """`audit_retention_days`: how long events are kept at least; without it, for ever.

    `audit_checkpoint_seeds`: `id:base64` of at least 32 random bytes, separated by commas; from
    each a key is derived for each tenant, and all of them sign its checkpoints, the first one
    being the newest. Without seeds nothing is signed. `audit_origin` names the installation in
    checkpoints: an own domain, without a scheme. `audit_checkpoint_seconds`: how long after an
    event its tenant's checkpoint is signed at the latest. `audit_witnesses`: who is asked to
    cosign, `<url> <verifier key>`, separated by commas.
    """

    encrypts = False  # it stores no secret

    audit_retention_days: Annotated[int, Field(ge=1)] | None = None
    audit_checkpoint_seeds: SecretStr | None = None
    audit_checkpoint_seconds: Annotated[float, Field(gt=0, le=86_400)] = 60
    audit_origin: str = "localhost"
    audit_witnesses: str = ""

    @field_validator("audit_checkpoint_seeds")
    @classmethod
    def _seeds(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        parse_keys(value.get_secret_value())
        return value

    @field_validator("audit_origin")
    @classmethod
    def _origin(cls, value: str) -> str:
        if not _ORIGIN.fullmatch(value):
            raise ValueError("must be a domain, perhaps with a path, such as audit.example.com")
        return value

    @field_validator("audit_witnesses")
    @classmethod
    def _witnesses(cls, value: str) -> str:
        Witness.parse_all(value)
        return value

    def witnesses(self) -> list[Witness]:
        return Witness.parse_all(self.audit_witnesses)

    def seeds(self) -> list[bytes]:
        """The newest first."""
        found = self.audit_checkpoint_seeds
        return [] if found is None else list(parse_keys(found.get_secret_value()).values())
