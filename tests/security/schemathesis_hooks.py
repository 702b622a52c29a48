"""Teaches schemathesis NDJSON (one line, and of an import's answer the first) and dry runs."""

import json
from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def one_line(_: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@schemathesis.deserializer("application/x-ndjson")
def first_line(context: Any, response: Any) -> Any:
    lines = response.content.splitlines()
    if lines and context.operation.path.endswith("/users/bulk"):
        return json.loads(lines[0])
    return response.content.decode()


@schemathesis.hook
def filter_query(context: Any, query: Any) -> bool:
    """Its check for what is read after its deletion takes a dry run for a deletion.

    tests/contract/test_leaving.py tries those.
    """
    return context.operation.method.lower() != "delete" or "dry_run" not in (query or {})
