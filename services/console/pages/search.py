"""One box for an id, an email, a slug or a name."""

from itertools import groupby

from contracts.search import SearchQuery, SearchResult
from fastapi import APIRouter
from pydantic import ValidationError
from starlette.responses import Response
from tenantry_client import api

from console.presentation import API
from console.web import SignedIn

_WITHOUT_PAGE = "/tenant"
"""Where the API shows root keys; the console does not."""

router = APIRouter()


@router.get("/search")
async def search(visit: SignedIn, q: str = "") -> Response:
    """Goes to the one that is found; else shows what is found of each kind."""
    try:
        query = SearchQuery(q=q)
    except ValidationError as error:
        message = error.errors()[0]["msg"] if q.strip() else ""
        return visit.page("search.html", q=q.strip(), found=[], message=message, unavailable=[])
    answer = await visit.api(api.search(query))
    places = [(result, place_of_result(result)) for result in answer.results]
    if len(places) == 1 and places[0][1] is not None:
        return visit.go(places[0][1])
    found = [(kind, list(group)) for kind, group in groupby(places, lambda each: each[0].type)]
    return visit.page(
        "search.html", q=query.q, found=found, message="", unavailable=answer.unavailable
    )


def place_of_result(result: SearchResult) -> str | None:
    """The page that shows it: pages have the paths of the API."""
    path = result.path.removeprefix(API)
    return None if path == _WITHOUT_PAGE else path
