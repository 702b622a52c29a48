"""The table of all routes, in the order in which they are matched."""

from edge.route import Route
from edge.routes import audit, organizations, projects, schemas, tenants, users, webhooks

SECTIONS: dict[str, list[Route]] = {
    "Tenants": tenants.ROUTES,
    "Schemas": schemas.ROUTES,
    "Projects": projects.ROUTES,
    "Users": users.ROUTES,
    "Organizations": organizations.ROUTES,
    "Webhooks": webhooks.ROUTES,
    "Audit": audit.ROUTES,
}
"""By tag. Schemas stand before Projects: `settings-schema` is not an identifier."""

ROUTES: list[Route] = [route for routes in SECTIONS.values() for route in routes]


def by_path() -> dict[str, dict[str, Route]]:
    """The routes of each path by method."""
    paths: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method] = route
    return paths
