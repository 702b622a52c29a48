"""The pages: a module for each that is more than a resource."""

from console.pages import (
    audit,
    event_types,
    operator_view,
    overview,
    search,
    sign_in,
    signing_keys,
    tenant_deletion,
    user_import,
)
from console.resource_pages import ResourcePages
from console.resources import TOP

ROUTERS = (
    sign_in.router,
    overview.router,
    search.router,
    user_import.router,
    operator_view.router,
    signing_keys.router,
    tenant_deletion.router,
    audit.router,
    event_types.router,
    *(ResourcePages(each).router for each in TOP),
)
"""The first that has a path answers it."""
