"""The routers of the API, one a resource, in the order in which their paths are matched."""

from edge.call_route import CallRoute
from edge.routers import (
    audit,
    organizations,
    overview,
    projects,
    schemas,
    tenants,
    users,
    webhooks,
)

# Schemas stand before projects: `settings-schema` is no identifier.
ROUTERS = [
    module.router
    for module in (
        tenants,
        schemas,
        projects,
        users,
        organizations,
        webhooks,
        audit,
        overview,
    )
]
ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, CallRoute)]
