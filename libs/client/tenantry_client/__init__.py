"""A typed client of Tenantry's HTTP API.

What can be asked stands once, as functions of `api` that make requests; `Client` and `AsyncClient`
send them.
"""

__version__ = "0.1.0"

from tenantry_client import api, models
from tenantry_client.clients import AsyncClient, Client
from tenantry_client.exchange import Policy
from tenantry_client.requests import Lines, Pages, Request

__all__ = ["AsyncClient", "Client", "Lines", "Pages", "Policy", "Request", "api", "models"]
