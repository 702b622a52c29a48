"""Cursors: the place where the next page begins, signed for its tenant and query.

So that a cursor can be neither forged nor used elsewhere (422).
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

import orjson
from contracts.problems import invalid

from chassis.request import Request


def cursor_binding(request: Request[Any, Any]) -> list[bytes]:
    """The keys of a cursor, bound to all of the request but which part of the list it wants: the
    first one signs, any of them verifies.
    """
    rest = [pair for pair in request.context.query if pair[0] not in ("page", "cursor", "limit")]
    parts = [request.call.subject, request.context.tenant_id, request.context.path, sorted(rest)]
    text = orjson.dumps(parts)
    keys = request.keyring.derive("cursor")
    return [hmac.new(key, text, hashlib.sha256).digest() for key in keys]


def encode_cursor(place: Any, binding: Sequence[bytes]) -> str:
    text = orjson.dumps(place)
    return _encoded(_seal(binding[0], text) + text)


def _seal(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()[:12]


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode_cursor(cursor: str, binding: Sequence[bytes]) -> tuple[int, list[Any]]:
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
    except ValueError:
        data = b""
    seal, text = data[:12], data[12:]
    # Base64 reads several texts as the same bytes: only the one that was given is a cursor.
    if (
        not text
        or not any(hmac.compare_digest(_seal(key, text), seal) for key in binding)
        or cursor != _encoded(data)
    ):
        raise invalid(
            "cursor",
            "is not a cursor of this list: take next_cursor of the same query",
            "invalid_cursor",
        )
    number, after = orjson.loads(text)
    return number, after
