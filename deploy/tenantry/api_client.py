"""`tenantry_client` with the address and key of an installation, and errors that say what to do.

Commands do not validate what their user wrote (`model_construct`): the API does, and its error says
what is wrong.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
from tenantry_client import Client, Pages, RetryPolicy
from tenantry_client.errors import (
    NoResponseError,
    NotSentError,
    ProblemError,
    TenantryError,
    UnexpectedResponseError,
)
from tenantry_client.models import Project, Tenant

from tenantry.access import Target, find_access
from tenantry.connection import (
    MAX_WAIT_SECONDS,
    TIMEOUT_SECONDS,
    TRIES,
    check_reachable,
    fix_of,
    http_settings,
    no_response,
)
from tenantry.errors import CommandFailed, Misconfigured

RETRY_POLICY = RetryPolicy(tries=TRIES, max_wait=MAX_WAIT_SECONDS)

Named = TypeVar("Named", Tenant, Project)


@contextmanager
def connect_as_operator(target: Target) -> Iterator[Client]:
    access = find_access(target, "operator_key")
    with connect(access.address, str(access.key)) as client:
        yield client


@contextmanager
def connect_as_tenant(target: Target) -> Iterator[Client]:
    """With a tenant's API key: beside `tenantry dev`, that of the demo tenant."""
    access = find_access(target, "api_key")
    with connect(access.address, str(access.key)) as client:
        yield client


@contextmanager
def connect(address: str, key: str) -> Iterator[Client]:
    """Errors of the client become CommandFailed. A refused connection is not tried again."""
    check_reachable(address)
    http = httpx.Client(**http_settings(TIMEOUT_SECONDS))
    try:
        with Client(address, key, retry_policy=RETRY_POLICY, http=http) as client:
            yield client
    except TenantryError as error:
        raise _command_failed(address, error) from None


def find_by_slug(client: Client, request: Pages[Any, Named], slug: str, id_prefix: str) -> Named:
    """The one of a list that has the slug. Raises CommandFailed when there is none."""
    for item in client.each(request):
        if item.slug == slug:
            return item
    raise CommandFailed(
        f"there is no {request.name.removesuffix('s')} with the slug {slug}",
        f"Name it by its id ({id_prefix}…) or by its whole slug.",
        code="not_found",
    )


def _command_failed(address: str, error: TenantryError) -> CommandFailed:
    if isinstance(error, ProblemError):
        optional = {
            "request_id": error.request_id,
            "errors": error.errors,
            "retry_after": int(error.retry_after or 0),
        }
        details = {name: value for name, value in optional.items() if value}
        fix = fix_of(error.status)
        return CommandFailed(error.detail, fix, code=error.code, status=error.status, **details)
    if isinstance(error, NotSentError):
        return Misconfigured(str(error), "Correct it; HTTP cannot carry it.")
    if isinstance(error, NoResponseError):
        return no_response(address, error)
    if isinstance(error, UnexpectedResponseError) and error.status is not None:
        fix = fix_of(error.status)
        return CommandFailed(str(error), fix, code="refused", status=error.status)
    return CommandFailed(
        f"{address} did not answer as this version of Tenantry does: {str(error).splitlines()[0]}",
        "Check the address, and that the command has the version of the product.",
        code="unexpected_response",
    )
