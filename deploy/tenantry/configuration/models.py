"""What a file of configuration may say: the API's own models, identified by slug, name or URL.

A field that is not there is left as it is. An object that is there is meant as a whole.
"""

from typing import Any, Literal

from contracts.api_keys import CreateApiKey
from contracts.fields import NameInput, Slug
from contracts.json_objects import Metadata
from contracts.models import Body
from contracts.organizations import LogoUrl, MemberLimit
from contracts.projects import CreateProject
from contracts.webhooks import CreateWebhook, WebhookStatus
from pydantic import Field


class ApiKeyEntry(CreateApiKey):
    """A key that works. Of its fields nothing can be changed: another key takes its place."""


class ProjectEntry(CreateProject):
    """A project, known by its slug, with its API keys, known by their names."""

    slug: Slug
    api_keys: list[ApiKeyEntry] = Field(default=[], max_length=1000)


class OrganizationEntry(Body):
    """An organization, known by its slug. Who belongs to it is no configuration."""

    name: NameInput
    slug: Slug
    logo_url: LogoUrl | None = None
    settings: Metadata = {}
    metadata: Metadata = {}
    max_members: MemberLimit | None = None


class WebhookEntry(CreateWebhook):
    """A webhook, known by its URL."""

    status: WebhookStatus = "active"


class Configuration(Body):
    """What a tenant has. A list that is not there is left as it is."""

    tenantry: Literal[1] = Field(description="The version of this form.")
    projects: list[ProjectEntry] = Field(default=[], max_length=10_000)
    organizations: list[OrganizationEntry] = Field(default=[], max_length=10_000)
    webhooks: list[WebhookEntry] = Field(default=[], max_length=500)


IDENTITY = {"projects": "slug", "organizations": "slug", "webhooks": "url", "api_keys": "name"}
"""By the name of the list: what identifies one of it."""
ENTRIES: dict[str, type[Body]] = {
    "projects": ProjectEntry,
    "organizations": OrganizationEntry,
    "webhooks": WebhookEntry,
    "api_keys": ApiKeyEntry,
}


def fields_of(kind: str) -> tuple[str, ...]:
    """Those that are compared, in the order in which a file has them."""
    return tuple(name for name in ENTRIES[kind].model_fields if name != "api_keys")


def json_schema() -> dict[str, Any]:
    """For editors: what the file may have, with limits and examples."""
    schema = Configuration.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
