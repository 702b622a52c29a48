"""The two clients, sync and async. `retry` decides when to send, `requests` how to read."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing, closing
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel

from tenantry_client.errors import error_of, refuse_unsendable
from tenantry_client.requests import Lines, LineSplitter, Pages, Request, header_value
from tenantry_client.retry import RetryPolicy, Wait, with_retries

T = TypeVar("T")
P = TypeVar("P", bound=BaseModel)
Item = TypeVar("Item", bound=BaseModel)

TIMEOUT_SECONDS = 30.0
_HEADERS = {"User-Agent": "tenantry-client"}


class Client:
    """Sends requests of `api`, one after another.

    `key` is a secret API key, an access token, or the operator's key; None for what needs none.
    `http` is an httpx client of your own, for proxies, certificates or hooks, with its own timeout:
    it gets the URL and the key, and is closed with this client.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        retry_policy: RetryPolicy | None = None,
        timeout: float = TIMEOUT_SECONDS,
        http: httpx.Client | None = None,
    ) -> None:
        self._retry_policy = retry_policy or RetryPolicy()
        with refuse_unsendable():
            self._http = http or httpx.Client(headers=_HEADERS, timeout=timeout)
            _configure(self._http, url, key)

    def __call__(self, request: Request[T]) -> T:
        """The result. Raises TenantryError."""
        return request.read(self.send(request))

    def pages(self, request: Pages[P, Item]) -> Iterator[P]:
        """The requested page and all that follow it."""
        next_request: Pages[P, Item] | None = request
        while next_request is not None:
            page = self(next_request)
            yield page
            next_request = next_request.after(page)

    def each(self, request: Pages[P, Item]) -> Iterator[Item]:
        """All items of a list, a page at a time."""
        for page in self.pages(request):
            yield from request.items(page)

    def lines(self, request: Lines[Item]) -> Iterator[Item]:
        """The items line by line, as they arrive. Raises NoResponseError if it breaks off."""
        splitter = LineSplitter()
        with closing(self.download(request)) as blocks:
            for block in blocks:
                for line in splitter.lines(block):
                    if (item := request.read_line(line)) is not None:
                        yield item
        if (item := request.read_line(splitter.rest())) is not None:
            yield item

    def download(self, request: Lines[Any]) -> Generator[bytes, None, None]:
        """The same as bytes, in blocks: for a file. Raises NoResponseError if it breaks off."""
        response = self.send(request, stream=True)
        try:
            request.check_status(response)
            yield from response.iter_bytes()
        except httpx.RequestError as error:
            raise error_of(error) from error
        finally:
            response.close()

    def send(self, request: Request[Any], *, stream: bool = False) -> httpx.Response:
        """The response itself, for its headers; not yet read if `stream`. Raises TenantryError."""
        steps = with_retries(request.build(self._http), self._retry_policy)
        try:
            step = next(steps)
            while True:
                if isinstance(step, Wait):
                    time.sleep(step.seconds)
                    step = next(steps)
                    continue
                try:
                    response = self._http.send(step, stream=stream)
                    if response.is_error:
                        with closing(response):
                            response.read()
                except httpx.RequestError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(response)
        except StopIteration as stop:
            result: httpx.Response = stop.value
            return result

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient:
    """The same for asyncio: `await` the result, `async for` what is listed."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        retry_policy: RetryPolicy | None = None,
        timeout: float = TIMEOUT_SECONDS,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._retry_policy = retry_policy or RetryPolicy()
        with refuse_unsendable():
            self._http = http or httpx.AsyncClient(headers=_HEADERS, timeout=timeout)
            _configure(self._http, url, key)

    async def __call__(self, request: Request[T]) -> T:
        """The result. Raises TenantryError."""
        return request.read(await self.send(request))

    async def pages(self, request: Pages[P, Item]) -> AsyncIterator[P]:
        """The requested page and all that follow it."""
        next_request: Pages[P, Item] | None = request
        while next_request is not None:
            page = await self(next_request)
            yield page
            next_request = next_request.after(page)

    async def each(self, request: Pages[P, Item]) -> AsyncIterator[Item]:
        """All items of a list, a page at a time."""
        async for page in self.pages(request):
            for item in request.items(page):
                yield item

    async def lines(self, request: Lines[Item]) -> AsyncGenerator[Item, None]:
        """The items line by line, as they arrive. Raises NoResponseError if it breaks off."""
        splitter = LineSplitter()
        async with aclosing(self.download(request)) as blocks:
            async for block in blocks:
                for line in splitter.lines(block):
                    if (item := request.read_line(line)) is not None:
                        yield item
        if (item := request.read_line(splitter.rest())) is not None:
            yield item

    async def download(self, request: Lines[Any]) -> AsyncGenerator[bytes, None]:
        """The same as bytes, in blocks: for a file. Raises NoResponseError if it breaks off."""
        response = await self.send(request, stream=True)
        try:
            request.check_status(response)
            async for block in response.aiter_bytes():
                yield block
        except httpx.RequestError as error:
            raise error_of(error) from error
        finally:
            await response.aclose()

    async def send(self, request: Request[Any], *, stream: bool = False) -> httpx.Response:
        """The response itself, for its headers; not yet read if `stream`. Raises TenantryError."""
        steps = with_retries(request.build(self._http), self._retry_policy)
        try:
            step = next(steps)
            while True:
                if isinstance(step, Wait):
                    await asyncio.sleep(step.seconds)
                    step = next(steps)
                    continue
                try:
                    response = await self._http.send(step, stream=stream)
                    if response.is_error:
                        async with aclosing(response):
                            await response.aread()
                except httpx.RequestError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(response)
        except StopIteration as stop:
            result: httpx.Response = stop.value
            return result

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _configure(http: httpx.Client | httpx.AsyncClient, url: str, key: str | None) -> None:
    http.base_url = _address(url)
    if key is not None:
        http.headers["Authorization"] = f"Bearer {header_value('the key', key)}"


def _address(url: str) -> httpx.URL:
    """With what sockets can take: they would raise a different error for each fault, or several."""
    address = httpx.URL(url)
    address.host.encode("idna")
    is_port = address.port is None or 0 < address.port < 65_536
    if address.scheme not in ("http", "https") or not address.host or not is_port:
        raise ValueError(f"{url} is no URL of an API, such as https://auth.example.com")
    return address
