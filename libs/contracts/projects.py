"""Projects and their settings (service: projects)."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from contracts.calls import Call
from contracts.events import Changes, EventData
from contracts.fields import Instant, Name, NameInput, Search, Slug, fault
from contracts.ids import ProjectId
from contracts.json_objects import Metadata
from contracts.models import (
    Body,
    DeleteQuery,
    Environment,
    ListQuery,
    Pagination,
    Resource,
    absent,
)
from contracts.origins import normal_origin, normal_redirect
from contracts.readable_text import WhenChanged, check_name
from contracts.signing_keys import Algorithm


class ProjectSettings(BaseModel):
    """The settings of a project. Times are in seconds."""

    model_config = ConfigDict(strict=True, extra="forbid")

    access_token_ttl: Annotated[int, Field(ge=60, le=86_400)] = 900
    refresh_token_ttl: Annotated[int, Field(ge=3_600, le=31_536_000)] = 604_800
    session_idle_timeout: Annotated[int, Field(ge=300, le=31_536_000)] = 604_800
    allow_sign_up: bool = True
    mfa: Literal["off", "optional", "required"] = "optional"
    signing_algorithm: Algorithm = "EdDSA"
    signing_key_grace_period: Annotated[int, Field(ge=0, le=2_592_000)] = 86_400


def _distinct(values: list[str]) -> list[str]:
    if len(set(values)) != len(values):
        raise fault("duplicate", "must not contain the same entry twice")
    return values


Origin = Annotated[
    str,
    Field(max_length=2048),
    AfterValidator(normal_origin),
    Field(examples=["https://app.acme.com"]),
]
Redirect = Annotated[
    str,
    Field(max_length=2048),
    AfterValidator(normal_redirect),
    Field(examples=["https://app.acme.com/callback"]),
]
Origins = Annotated[list[Origin], Field(max_length=100), AfterValidator(_distinct)]
Redirects = Annotated[list[Redirect], Field(max_length=100), AfterValidator(_distinct)]


class Project(Resource):
    id: ProjectId
    name: Name
    slug: Slug
    environment: Environment = Field(examples=["production"])
    allowed_origins: list[str] = Field(examples=[["https://app.acme.com"]])
    allowed_redirects: list[str] = Field(examples=[["https://app.acme.com/callback"]])
    settings: ProjectSettings
    metadata: dict[str, Any] = Field(examples=[{"team": "platform"}])
    version: int = Field(examples=[1])
    created_at: Instant
    updated_at: Instant


class ProjectPage(Resource):
    projects: list[Project]
    pagination: Pagination


class CreateProject(Body):
    name: NameInput
    slug: Slug | None = None
    environment: Environment = "development"
    allowed_origins: Origins = []
    allowed_redirects: Redirects = []
    settings: ProjectSettings = ProjectSettings()
    metadata: Metadata = {}


class UpdateProject(Body):
    """`settings` merges member by member; a null member returns to its default."""

    name: Annotated[Name, WhenChanged(check_name)] = absent()
    slug: Slug = absent()
    environment: Environment = absent()
    allowed_origins: Origins = absent()
    allowed_redirects: Redirects = absent()
    settings: dict[str, Any] = absent()
    metadata: dict[str, Any] = absent()


class ProjectsQuery(ListQuery):
    q: Search | None = None
    environment: Environment | None = None
    sort: Literal["name", "-name", "created_at", "-created_at"] = "-created_at"


_PROJECT = {"id": "prj"}

CREATE_PROJECT = Call(
    "projects",
    "create_project",
    body=CreateProject,
    result=Project,
    status=201,
    problems=("slug_taken", "quota_exceeded"),
)
LIST_PROJECTS = Call(
    "projects", "list_projects", query=ProjectsQuery, result=ProjectPage, may_lag=True
)
GET_PROJECT = Call("projects", "get_project", result=Project, path=_PROJECT)
UPDATE_PROJECT = Call(
    "projects",
    "update_project",
    body=UpdateProject,
    result=Project,
    path=_PROJECT,
    problems=("slug_taken", "version_mismatch"),
)
DELETE_PROJECT = Call(
    "projects",
    "delete_project",
    query=DeleteQuery,
    status=204,
    path=_PROJECT,
    problems=("version_mismatch",),
)


class ProjectCreated(EventData, type="project.created", service="projects"):
    """A project was created, with its signing keys."""

    project: Project


class ProjectUpdated(EventData, type="project.updated", service="projects"):
    """Fields of a project changed."""

    project: Project
    changes: Changes


class ProjectDeleted(EventData, type="project.deleted", service="projects"):
    """A project was deleted: its keys are revoked and its key set is gone."""

    project: Project
