"""The pages: a module for each that is more than a resource."""

from console.pages import audit, event_types, overview, search, sign_in, user_import
from console.resource_pages import ResourcePages
from console.resources import TOP

ROUTERS = (
    sign_in.router,
    overview.router,
    search.router,
    user_import.router,
    audit.router,
    event_types.router,
    *(ResourcePages(each).router for each in TOP),
)
"""The first that has a path answers it."""
