"""A typed client of Tenantry's HTTP API.

Every request is defined once, as a function of `api`; `Client` and `AsyncClient` send them.
"""

__version__ = "0.1.0"

from tenantry_client import api, models
from tenantry_client.clients import AsyncClient, Client
from tenantry_client.requests import Lines, Pages, Request
from tenantry_client.retry import RetryPolicy

__all__ = [
    "AsyncClient",
    "Client",
    "Lines",
    "Pages",
    "Request",
    "RetryPolicy",
    "api",
    "models",
]
