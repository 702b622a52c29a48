"""The health endpoints in the OpenAPI document: no calls, so FastAPI does not know them."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

Json = dict[str, Any]

TAG = {"name": "Health", "description": "Of the installation. No credential is needed."}
Status = Literal["ok", "degraded", "down"]


class HealthCheck(BaseModel):
    """One part. Further members are what it says of itself: a service, its own checks."""

    model_config = ConfigDict(extra="allow")

    status: Status = Field(examples=["ok"])
    latency_ms: float = Field(examples=[1.2])


class HealthReport(BaseModel):
    """`down` without a part that is needed, `degraded` without another one."""

    status: Status = Field(examples=["ok"])
    version: str = Field(examples=["0.1.0"])
    checks: dict[str, HealthCheck] = Field(
        examples=[{"redis": {"status": "ok", "latency_ms": 0.4}}]
    )


class Readiness(BaseModel):
    """`failed` names the checks without which this edge gets no requests."""

    status: Literal["ok", "down"] = Field(examples=["ok"])
    failed: list[str] = Field(examples=[[]])


class Liveness(BaseModel):
    status: Literal["ok"] = Field(examples=["ok"])


_ENDPOINTS: tuple[tuple[str, str, str, type[BaseModel]], ...] = (
    ("/health", "get_health", "Get the health of every part", HealthReport),
    ("/health/ready", "get_readiness", "Whether this edge takes requests", Readiness),
    ("/health/live", "get_liveness", "Whether this process runs", Liveness),
)


def add_health(document: Json) -> None:
    """Adds the paths and their schemas; the responses of problems are there already."""
    document["tags"].append(TAG)
    models = [model for *_, model in _ENDPOINTS]
    _, schemas = models_json_schema(
        [(model, "serialization") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    document["components"]["schemas"] |= schemas["$defs"]
    for path, name, summary, model in _ENDPOINTS:
        document["paths"][path] = {
            "get": {
                "tags": [TAG["name"]],
                "summary": summary,
                "description": "No credential.",
                "operationId": name,
                "security": [],
                "parameters": [],
                "responses": _responses(path, model),
            }
        }


def _responses(path: str, model: type[BaseModel]) -> Json:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
    responses: Json = {"200": {"description": "It is well.", "content": content}}
    responses["400"] = {"$ref": "#/components/responses/malformed_request"}
    if path == "/health":  # the others are not counted: AddressLimit
        responses["429"] = {"$ref": "#/components/responses/rate_limited"}
    responses["431"] = {"$ref": "#/components/responses/header_fields_too_large"}
    if model is not Liveness:
        responses["503"] = {"description": "It is down.", "content": content}
    return responses
