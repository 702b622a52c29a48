"""One search for whatever has an identifier, an email, a slug or a name.

Each call is answered by one service and needs one scope; the edge makes one answer of all of them.
"""

from typing import Literal

from pydantic import Field

from contracts.calls import Call
from contracts.fields import Search
from contracts.models import Query, Resource

MOST_RESULTS = 10
"""Of each kind."""

ResultType = Literal[
    "user", "session", "organization", "invitation", "project", "api_key", "signing_key",
    "webhook", "delivery", "event", "tenant",
]  # fmt: skip


class SearchQuery(Query):
    """`q` is a whole identifier, or a part of an email, a slug or a name, in any case."""

    q: Search


class SearchResult(Resource):
    """`name` is what people call it: a user's email, a webhook's URL. `detail` tells it from others
    of that name. `path` is where the API shows it: itself, or the list that it is in.
    """

    type: ResultType = Field(examples=["user"])
    id: str = Field(examples=["usr_01jt7a3v9qf8mbd2m0q5k4h6xz"])
    name: str = Field(examples=["ada@example.com"])
    detail: str | None = Field(examples=["Ada Lovelace"])
    path: str = Field(examples=["/v1/admin/users/usr_01jt7a3v9qf8mbd2m0q5k4h6xz"])


class FoundResults(Resource):
    """What one service has found."""

    results: list[SearchResult]


class SearchResults(Resource):
    """At most ten of each kind that the credential may read, what is the same as `q` first.

    `unavailable` names services that did not answer: what they have is missing.
    """

    results: list[SearchResult]
    unavailable: list[str] = Field(examples=[[]])


def _search(service: str, kind: str) -> Call:
    return Call(service, f"search_{kind}", query=SearchQuery, result=FoundResults)


SEARCH_USERS = _search("identity", "users")
SEARCH_ORGANIZATIONS = _search("identity", "organizations")
SEARCH_PROJECTS = _search("projects", "projects")
SEARCH_API_KEYS = _search("projects", "api_keys")
SEARCH_SIGNING_KEYS = _search("projects", "signing_keys")
SEARCH_TENANTS = _search("projects", "tenants")
SEARCH_WEBHOOKS = _search("webhooks", "webhooks")
SEARCH_EVENTS = _search("audit", "events")
