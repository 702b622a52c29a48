"""HTTP to an API: what every request of a command shares, and what to do when it does not answer.

No models: a command that lists something waits for no import that it does not need.
"""

import random
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote, urlsplit
from uuid import uuid4

import httpx

from tenantry.access import Access
from tenantry.errors import CommandFailed, Misconfigured

TIMEOUT_SECONDS = 60.0
CONNECT_SECONDS = 5.0
TRIES = 8
MAX_WAIT_SECONDS = 60.0
_TRANSIENT = ("rate_limited", "service_unavailable", "upstream_timeout", "idempotency_in_flight")

_FIXES = {
    401: "Check the key: it may be of another installation, revoked or expired.",
    403: "Use a credential that may do this.",
    404: "Check the identifier; it must be of this tenant.",
    429: "Wait, or raise TENANTRY_RATE_LIMIT at the edge.",
    503: "Run `tenantry doctor` to see which part is down.",
    504: "Run the command again; `tenantry doctor` shows which part is slow.",
}


class Api:
    """Requests to one address with one key, in JSON. Each change has its own idempotency key, so
    that it may be sent again. Raises CommandFailed with the problem that the API names.
    """

    def __init__(self, access: Access) -> None:
        check_reachable(access.address)
        self.address = access.address
        self._http = httpx.Client(**http_settings(TIMEOUT_SECONDS), base_url=access.address)
        if access.key is not None:
            if not (access.key.isascii() and access.key.isprintable()):
                raise Misconfigured("the key has characters that HTTP cannot carry", "Check it.")
            self._http.headers["Authorization"] = f"Bearer {access.key}"

    def __call__(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        **headers: str,
    ) -> Any:
        """The JSON of the answer; None if it has none."""
        response = self.send(method, path, query, body, **headers)
        return read_json(self.address, response)

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        **headers: str,
    ) -> httpx.Response:
        """The answer of success itself. `headers` are named with underscores; a body of bytes is
        sent as it is.
        """
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if method not in ("GET", "HEAD"):
            sent.setdefault("Idempotency-Key", str(uuid4()))
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        request = self._http.build_request(
            method, path, params=query or None, headers=sent, **({} if body is None else content)
        )
        for left in reversed(range(TRIES)):
            wait = 0.25 * 2.0 ** (TRIES - left - 1) * random.uniform(0.5, 1.0)  # noqa: S311
            try:
                response = self._http.send(request)
            except httpx.TransportError as error:
                if not left:
                    raise no_response(self.address, error) from None
            else:
                if not response.is_error:
                    return response
                failed = problem_of(response)
                wait = float(failed.details.get("retry_after", 0)) or wait
                if failed.code not in _TRANSIENT or not left or wait > MAX_WAIT_SECONDS:
                    raise failed
            time.sleep(min(wait, MAX_WAIT_SECONDS))
        raise AssertionError("the last try returns or raises")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()


def read_json(address: str, response: httpx.Response) -> Any:
    """Raises CommandFailed for an answer that is no JSON."""
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError:
        raise CommandFailed(
            f"{address} did not answer as this version of Tenantry does: no JSON",
            "Check the address, and that the command has the version of the product.",
            code="unexpected_response",
        ) from None


def path_of(template: str, ids: Mapping[str, str]) -> str:
    """The path with its identifiers, whatever characters they have."""
    return "/".join(
        quote(ids[part[1:-1]], safe="") if part.startswith("{") else part
        for part in template.split("/")
    )


def problem_of(response: httpx.Response) -> CommandFailed:
    """The problem (RFC 9457) of an answer of 400 and above."""
    status = response.status_code
    try:
        problem = response.json()
        code, detail = str(problem["code"]), str(problem["detail"])
    except (ValueError, TypeError, KeyError):
        return CommandFailed(
            f"the response was {status}, without a problem document",
            fix_of(status),
            code="refused",
            status=status,
        )
    details = {name: problem[name] for name in ("request_id", "errors") if problem.get(name)}
    retry_after = response.headers.get("Retry-After", "")
    if retry_after.isascii() and retry_after.isdigit() and int(retry_after):
        details["retry_after"] = int(retry_after)
    return CommandFailed(detail, fix_of(status), code=code, status=status, **details)


def http_settings(timeout: float) -> dict[str, Any]:
    """Of an httpx client: no proxy, the certificates that this machine trusts, and no lists of a
    read replica: the command before may have made what this one looks for.
    """
    context = ssl.create_default_context()
    headers = {"User-Agent": "tenantry", "Cache-Control": "no-cache"}
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
        raise no_response(address, error) from None
    except OSError:
        pass  # a network that is slow just now, for example: the client tries again


def fix_of(status: int) -> str:
    return _FIXES.get(status, "Correct the request and run the command again.")


def no_response(address: str, error: Exception) -> CommandFailed:
    return CommandFailed(
        f"no answer from {address}: {error or type(error).__name__}",
        "Check that the product runs there; --url or TENANTRY_URL names another address.",
        code="no_answer",
    )
