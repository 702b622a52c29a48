"""The two transports, sync and async. They do what `exchange` says, and decide nothing."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel

from tenantry_client.errors import NoAnswerError
from tenantry_client.exchange import Pause, Policy, exchange
from tenantry_client.requests import Lines, Pages, Request, Splitter

T = TypeVar("T")
P = TypeVar("P", bound=BaseModel)
Item = TypeVar("Item", bound=BaseModel)

TIMEOUT_SECONDS = 30.0
_BROKEN = "the answer broke off"


class Client:
    """Sends requests of `api`, one after another.

    `key` is a secret API key, an access token, or the operator's key; None for what needs none.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        policy: Policy | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._policy = policy or Policy()
        self._http = httpx.Client(**_settings(url, key, timeout))

    def __call__(self, request: Request[T]) -> T:
        """The answer. Raises TenantryError."""
        return request.read(self._exchange(request))

    def pages(self, request: Pages[P, Item]) -> Iterator[P]:
        """The page that is asked for and all that follow."""
        following: Pages[P, Item] | None = request
        while following is not None:
            page = self(following)
            yield page
            following = following.after(page)

    def each(self, request: Pages[P, Item]) -> Iterator[Item]:
        """Everything in the list, a page at a time."""
        for page in self.pages(request):
            yield from request.items(page)

    def lines(self, request: Lines[Item]) -> Iterator[Item]:
        """What is answered line by line, as it comes. Raises NoAnswerError if it breaks off."""
        response = self._exchange(request, stream=True)
        splitter = Splitter()
        try:
            for block in response.iter_bytes():
                for line in splitter.lines(block):
                    if (item := request.read_line(line)) is not None:
                        yield item
        except httpx.TransportError as error:
            raise NoAnswerError(_BROKEN) from error
        finally:
            response.close()
        if (item := request.read_line(splitter.rest())) is not None:
            yield item

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _exchange(self, request: Request[Any], *, stream: bool = False) -> httpx.Response:
        steps = exchange(request.message(self._http), self._policy)
        try:
            step = next(steps)
            while True:
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    step = next(steps)
                    continue
                try:
                    response = self._http.send(step, stream=True)
                    if response.is_error or not stream:
                        response.read()
                except httpx.TransportError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(response)
        except StopIteration as done:
            answer: httpx.Response = done.value
            return answer


class AsyncClient:
    """The same for asyncio: `await` the answer, `async for` what is listed."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        policy: Policy | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._policy = policy or Policy()
        self._http = httpx.AsyncClient(**_settings(url, key, timeout))

    async def __call__(self, request: Request[T]) -> T:
        """The answer. Raises TenantryError."""
        return request.read(await self._exchange(request))

    async def pages(self, request: Pages[P, Item]) -> AsyncIterator[P]:
        """The page that is asked for and all that follow."""
        following: Pages[P, Item] | None = request
        while following is not None:
            page = await self(following)
            yield page
            following = following.after(page)

    async def each(self, request: Pages[P, Item]) -> AsyncIterator[Item]:
        """Everything in the list, a page at a time."""
        async for page in self.pages(request):
            for item in request.items(page):
                yield item

    async def lines(self, request: Lines[Item]) -> AsyncIterator[Item]:
        """What is answered line by line, as it comes. Raises NoAnswerError if it breaks off."""
        response = await self._exchange(request, stream=True)
        splitter = Splitter()
        try:
            async for block in response.aiter_bytes():
                for line in splitter.lines(block):
                    if (item := request.read_line(line)) is not None:
                        yield item
        except httpx.TransportError as error:
            raise NoAnswerError(_BROKEN) from error
        finally:
            await response.aclose()
        if (item := request.read_line(splitter.rest())) is not None:
            yield item

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _exchange(self, request: Request[Any], *, stream: bool = False) -> httpx.Response:
        steps = exchange(request.message(self._http), self._policy)
        try:
            step = next(steps)
            while True:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    step = next(steps)
                    continue
                try:
                    response = await self._http.send(step, stream=True)
                    if response.is_error or not stream:
                        await response.aread()
                except httpx.TransportError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(response)
        except StopIteration as done:
            answer: httpx.Response = done.value
            return answer


def _settings(url: str, key: str | None, timeout: float) -> dict[str, Any]:
    headers = {"User-Agent": "tenantry-client"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    return {"base_url": url, "headers": headers, "timeout": timeout}
