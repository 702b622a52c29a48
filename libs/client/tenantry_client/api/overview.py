"""The overview, and the search for anything."""

from contracts.overview import Overview
from contracts.search import SearchQuery, SearchResults

from tenantry_client.requests import Request


def get_overview() -> Request[Overview]:
    """The parts that the credential may read; others are None."""
    return Request("GET", "/v1/admin/overview", {200: Overview})


def search(query: SearchQuery) -> Request[SearchResults]:
    """What has the identifier, the email, the slug or the name."""
    return Request("GET", "/v1/admin/search", {200: SearchResults}, query=query)
