"""Health is answered as the OpenAPI document says, to anybody."""

import pytest
from jsonschema import Draft202012Validator
from support.api import Api


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/health/live"])
async def test_health_is_as_the_document_says(anyone: Api, path: str) -> None:
    document = (await anyone("GET", "/openapi.json")).body
    answer = await anyone("GET", path)
    described = document["paths"][path]["get"]["responses"][str(answer.status)]
    (content,) = described["content"].values()
    schema = content["schema"] | {"components": document["components"]}
    Draft202012Validator(schema).validate(answer.body)
    assert answer.body["status"] in ("ok", "degraded")
    assert answer.headers["Content-Type"] in described["content"]


async def test_a_service_shows_the_parts_that_it_checks(anyone: Api) -> None:
    checks = (await anyone("GET", "/health")).body["checks"]
    assert {"nats", "identity", "projects", "webhooks", "audit"} <= checks.keys()
    assert checks["identity"]["database"]["status"] == "ok"
