"""One box for an id, an email or a slug."""

import asyncio
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from console.calls import rows_of
from console.place import Place
from console.presentation import place_of
from console.resources import TOP
from console.web import SignedIn

ROWS = 10

router = APIRouter()


@router.get("/search")
async def search(visit: SignedIn, q: str = "") -> Response:
    """Goes to what has the id; else shows what is found of each kind."""
    q = q.strip()
    if place := place_of(q):
        return visit.go(place)
    paths = {path for _, path in visit.menu}
    kinds = [k for k in TOP if "q" in k.query.model_fields and f"/{k.path}" in paths]
    found: list[tuple[Place, list[Any]]] = []
    if q:
        pages = await asyncio.gather(
            *(
                visit.api(kind.list(kind.query.model_validate({"q": q[:255], "limit": ROWS})))
                for kind in kinds
            )
        )
        for kind, page in zip(kinds, pages, strict=True):
            if rows := rows_of(page):
                found.append((Place(kind, ()), rows))
    return visit.page("search.html", q=q, found=found)
