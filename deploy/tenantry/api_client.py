"""`tenantry_client` with the address and key of an installation, and errors that say what to do.

Commands do not validate what their user wrote (`model_construct`): the API does, and its error says
what is wrong.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

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

from tenantry.errors import CommandFailed, Misconfigured
from tenantry.installation import api_url, credential

RETRY_POLICY = RetryPolicy(tries=8, max_wait=60.0)
TIMEOUT_SECONDS = 60.0
CONNECT_SECONDS = 5.0

_FIXES = {
    401: "Check the key: it may be of another installation, revoked or expired.",
    403: "Use a credential that may do this.",
    404: "Check the identifier; it must be of this tenant.",
    429: "Wait, or raise TENANTRY_RATE_LIMIT at the edge.",
    503: "Run `tenantry doctor` to see which part is down.",
    504: "Run the command again; `tenantry doctor` shows which part is slow.",
}

Named = TypeVar("Named", Tenant, Project)


@contextmanager
def connect_as_operator(url: str | None, data: Path | None) -> Iterator[Client]:
    address = api_url(url, data)
    with connect(address, credential("operator_key", address, data)) as client:
        yield client


@contextmanager
def connect_as_tenant(url: str | None, data: Path | None) -> Iterator[Client]:
    """With a tenant's API key: beside `tenantry dev`, that of the demo tenant."""
    address = api_url(url, data)
    with connect(address, credential("api_key", address, data)) as client:
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


def http_settings(timeout: float) -> dict[str, Any]:
    """Of an httpx client: no proxy, and the certificates that this machine trusts."""
    context = ssl.create_default_context()
    headers = {"User-Agent": "tenantry"}
    return {"timeout": timeout, "verify": context, "trust_env": False, "headers": headers}


def check_reachable(address: str) -> None:
    """Raises CommandFailed if there is no such host or the connection is refused: the address is
    wrong, or nothing runs.
    """
    parts = urlsplit(address)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    try:
        socket.create_connection((parts.hostname or "", port), CONNECT_SECONDS).close()
    except (ConnectionRefusedError, socket.gaierror) as error:
        raise _no_response(address, error) from None
    except OSError:
        pass  # a network that is slow just now, for example: the client tries again


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
        fix = _fix_of(error.status)
        return CommandFailed(error.detail, fix, code=error.code, status=error.status, **details)
    if isinstance(error, NotSentError):
        return Misconfigured(str(error), "Correct it; HTTP cannot carry it.")
    if isinstance(error, NoResponseError):
        return _no_response(address, error)
    if isinstance(error, UnexpectedResponseError) and error.status is not None:
        fix = _fix_of(error.status)
        return CommandFailed(str(error), fix, code="refused", status=error.status)
    return CommandFailed(
        f"{address} did not answer as this version of Tenantry does: {str(error).splitlines()[0]}",
        "Check the address, and that the command has the version of the product.",
        code="unexpected_response",
    )


def _fix_of(status: int) -> str:
    return _FIXES.get(status, "Correct the request and run the command again.")


def _no_response(address: str, error: Exception) -> CommandFailed:
    return CommandFailed(
        f"no answer from {address}: {error or type(error).__name__}",
        "Check that the product runs there; --url or TENANTRY_URL names another address.",
        code="no_answer",
    )
