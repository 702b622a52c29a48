"""Users (service: identity)."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from contracts.calls import Call
from contracts.events import Changes, EventData
from contracts.fields import (
    Email,
    EmailInput,
    ExternalIdInput,
    Flag,
    FromDay,
    Handle,
    Instant,
    Name,
    NameInput,
    Permissions,
    Role,
    Search,
    Slug,
    UntilDay,
    UsernameInput,
)
from contracts.ids import InvitationId, OrganizationId, UserId
from contracts.json_objects import Metadata
from contracts.models import Body, DeleteQuery, ListQuery, Pagination, Resource, absent
from contracts.readable_text import WhenChanged, check_name, check_username
from contracts.sessions import Session

UserStatus = Literal["active", "suspended"]
_EMAIL: TypeAdapter[str] = TypeAdapter(Email)


def _as_stored(value: str) -> str:
    """An address in the form in which users keep it; what is none matches nobody."""
    try:
        return _EMAIL.validate_python(value)
    except ValidationError:
        return value


class User(Resource):
    id: UserId
    email: Email
    email_verified: bool
    username: Handle | None
    name: Name | None
    external_id: Handle | None
    status: UserStatus
    metadata: dict[str, Any] = Field(examples=[{"plan": "pro"}])
    last_sign_in_at: Instant | None
    version: int = Field(examples=[1])
    created_at: Instant
    updated_at: Instant


class UserPage(Resource):
    users: list[User]
    pagination: Pagination


class UserOrganization(Resource):
    id: OrganizationId
    name: Name
    slug: Slug
    role: Role
    permissions: Permissions
    joined_at: Instant


class UserDetail(User):
    """A user with the live sessions (newest first, at most 100) and the organizations (the last one
    joined first, at most 100). Of what there is more, `more` has the path that lists all.
    """

    sessions: list[Session]
    organizations: list[UserOrganization]
    more: dict[str, str] = Field(
        examples=[
            {
                "organizations": "/v1/admin/organizations?user_id=usr_…",
                "sessions": "/v1/admin/users/usr_…/sessions?status=active",
            }
        ]
    )


class CreateUser(Body):
    email: EmailInput
    email_verified: bool = False
    username: UsernameInput | None = None
    name: NameInput | None = None
    external_id: ExternalIdInput | None = None
    status: UserStatus = "active"
    metadata: Metadata = {}


class ImportUsers(Body):
    """Some lines of an import, the first of them number `first`; null for one that is no UTF-8.

    `digest` is that of the whole import: under one idempotency key no other import is meant.
    """

    first: int
    digest: str
    lines: list[str | None]


class ImportResult(Resource):
    """What became of a line: `id` with 201, else `code` and the first 20 `errors` of its fields."""

    line: int = Field(examples=[1])
    status: int = Field(examples=[201])
    id: UserId | None = None
    code: str | None = None
    errors: list[dict[str, str]] | None = None
    errors_omitted: int | None = Field(default=None, examples=[None])


class UpdateUser(Body):
    """A changed email is unverified unless the same patch says otherwise."""

    email: Annotated[Email, WhenChanged(check_name)] = absent()
    email_verified: bool = absent()
    username: Annotated[Handle | None, WhenChanged(check_username)] = absent()
    name: Annotated[Name | None, WhenChanged(check_name)] = absent()
    external_id: Annotated[Handle | None, WhenChanged(check_name)] = absent()
    status: UserStatus = absent()
    metadata: dict[str, Any] = absent()


class UsersQuery(ListQuery):
    q: Search | None = None
    status: UserStatus | None = None
    email: Annotated[Search, AfterValidator(_as_stored)] | None = None
    external_id: Handle | None = None
    organization_id: str | None = None
    created_after: FromDay | None = None
    created_before: UntilDay | None = None
    sort: Literal[
        "created_at", "-created_at", "email", "-email", "last_sign_in_at", "-last_sign_in_at"
    ] = "-created_at"


class DeleteUserQuery(DeleteQuery):
    """`force=true` deletes the last owner of an organization too."""

    force: Flag = False


_USER = {"id": "usr"}
_TAKEN = ("email_taken", "username_taken", "external_id_taken")

CREATE_USER = Call(
    "identity", "create_user", body=CreateUser, result=User, status=201, problems=_TAKEN
)
LIST_USERS = Call("identity", "list_users", query=UsersQuery, result=UserPage, may_lag=True)
GET_USER = Call("identity", "get_user", result=UserDetail, path=_USER)
UPDATE_USER = Call(
    "identity",
    "update_user",
    body=UpdateUser,
    result=User,
    path=_USER,
    problems=(*_TAKEN, "last_owner", "version_mismatch"),
)
DELETE_USER = Call(
    "identity",
    "delete_user",
    query=DeleteUserQuery,
    status=204,
    path=_USER,
    problems=("last_owner", "version_mismatch"),
)
IMPORT_USERS = Call("identity", "import_users", body=ImportUsers)


class UserCreated(EventData, type="user.created", service="identity"):
    """A user was created."""

    user: User


class UserUpdated(EventData, type="user.updated", service="identity"):
    """Fields of a user changed."""

    user: User
    changes: Changes


class UserSuspended(EventData, type="user.suspended", service="identity"):
    """A user was suspended; every session was revoked in the same transaction."""

    user: User
    changes: Changes


class UserReactivated(EventData, type="user.reactivated", service="identity"):
    """A suspended user became active again."""

    user: User
    changes: Changes


class UserDeleted(EventData, type="user.deleted", service="identity"):
    """A user was erased; only the identifier is left.

    `invitation_ids` are those of invitations to the user's addresses, which were erased as well.
    """

    user_id: UserId
    invitation_ids: list[InvitationId] = []
