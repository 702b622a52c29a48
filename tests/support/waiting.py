"""Waiting for a condition with a deadline, instead of sleeping and hoping."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def until(
    condition: Callable[[], Awaitable[T]],
    seconds: float = 20.0,
    every: float = 0.02,
    why: Callable[[], object] = str,
) -> T:
    """The first truthy answer of `condition`; at the deadline AssertionError, with `why()`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = await condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"still {answer!r} after {seconds} s {why()}"
        await asyncio.sleep(every)
