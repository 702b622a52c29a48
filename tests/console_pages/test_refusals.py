"""A form that was not done: what was typed stays, and can be sent again until it is done, once."""

import asyncio
import html
import re
import signal

import httpx
import pytest
from console.refusals import REFUSALS, errors_of, next_key, status_of
from console_pages.conftest import Shown, sign_in
from playwright.async_api import Browser
from starlette.datastructures import FormData
from support.stack import Stack
from support.waiting import until
from tenantry_client.errors import (
    NoResponseError,
    Problem,
    ProblemError,
    RateLimitedError,
    UnavailableError,
)

HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')


def hidden_of(page: httpx.Response) -> dict[str, str]:
    """The hidden fields of a page; the last form has the last word."""
    return {name: html.unescape(value) for name, value in HIDDEN.findall(page.text)}


async def count_users(api: httpx.AsyncClient, email: str) -> int:
    found = await api.get("/v1/admin/users", params={"email": email})
    return int(found.json()["pagination"]["total"])


async def test_a_form_that_was_refused_is_mended_and_done(
    http: httpx.AsyncClient, api: httpx.AsyncClient, shown: Shown
) -> None:
    """The API keeps the first answer to an Idempotency-Key: a mended form needs another."""
    form = hidden_of(await http.get("/users/new"))
    taken = await http.post("/users/new", data={**form, "email": "user0@example.com"})
    assert taken.status_code == 409
    assert 'id="field-email-error"' in taken.text
    form = hidden_of(taken)
    mended = await http.post("/users/new", data={**form, "email": "mended@example.com"})
    assert mended.status_code == 303, mended.text
    assert await count_users(api, "mended@example.com") == 1


async def test_a_form_whose_answer_is_lost_is_sent_again_and_done_once(
    http: httpx.AsyncClient, api: httpx.AsyncClient, stack: Stack
) -> None:
    form = {**hidden_of(await http.get("/users/new")), "email": "lost@example.com", "name": "Ada"}
    stack.hang("identity", signal.SIGSTOP)
    try:
        lost = await http.post("/users/new", data=form)
    finally:
        stack.hang("identity", signal.SIGCONT)
    assert (lost.status_code, 'value="Ada"' in lost.text) == (504, True)
    assert "done once" in lost.text
    assert hidden_of(lost)["idempotency_key"] == form["idempotency_key"]

    async def is_done() -> bool:
        again = await http.post("/users/new", data=form)
        return again.status_code == 303

    await until(is_done, 10)
    assert await count_users(api, "lost@example.com") == 1


@pytest.mark.parametrize("name", ["edge", "identity", "redis", "postgres", "nats"])
async def test_a_page_and_a_form_are_answered_in_time_whatever_hangs(
    http: httpx.AsyncClient, stack: Stack, name: str
) -> None:
    form = {**hidden_of(await http.get("/users/new")), "email": f"{name}@hangs.example"}
    stack.hang(name, signal.SIGSTOP)
    try:
        page, sent = await asyncio.gather(
            http.get("/users", timeout=10), http.post("/users/new", data=form, timeout=10)
        )
    finally:
        stack.hang(name, signal.SIGCONT)
    for answer in (page, sent):
        assert answer.elapsed.total_seconds() < 3.5, answer.text  # and what this machine adds
        assert answer.status_code in (200, 303, 503, 504), answer.text
        assert "Traceback" not in answer.text
    if sent.status_code in (503, 504) and name != "redis":
        assert f"{name}@hangs.example" in sent.text

    async def is_well() -> bool:
        return (await http.get("/users")).status_code == 200

    await until(is_well, 20)


def test_a_refusal_for_now_says_when_and_one_of_unknown_outcome_keeps_its_key() -> None:
    def problem(code: str, status: int, kind: type[ProblemError]) -> ProblemError:
        about = Problem(code=code, detail="Not now.", request_id="r", trace_id="t")
        return kind(status, about, 7.0)

    limited = problem("rate_limited", 429, RateLimitedError)
    away = problem("service_unavailable", 503, UnavailableError)
    late = problem("upstream_timeout", 504, UnavailableError)
    lost = NoResponseError("broken")
    form = FormData([("idempotency_key", "first")])
    for error in (limited, away):
        assert errors_of(error).whole == "Not now. Try again in 7 seconds."
    for error in (away, late, lost):
        assert next_key(form, error) == "first"
    assert next_key(form, limited) != "first"
    assert [status_of(each) for each in (limited, away, late, lost)] == [429, 503, 504, 503]
    assert all(isinstance(each, REFUSALS) for each in (limited, away, late, lost))


async def test_a_session_that_ended_keeps_what_was_typed(
    browser: Browser, stack: Stack, console: str, api: httpx.AsyncClient
) -> None:
    context = await browser.new_context()
    page = await sign_in(context, console, stack.ready["api_key"], "/users/new")
    await page.fill("[name=email]", "kept@example.com")
    await page.fill("[name=name]", "<b>Kept</b>")
    await context.clear_cookies()
    await page.click("button.main")
    assert "what you typed is kept" in await page.inner_text("[role=alert]")
    await page.fill("#key", "wrong")
    await page.click("main button")
    await page.fill("#key", stack.ready["api_key"])
    await page.click("main button")
    assert "<b>Kept</b>" in await page.inner_text("main dl")
    assert await count_users(api, "kept@example.com") == 0
    await page.click("main button.main")
    assert await page.inner_text(".notice") == "It was created."
    assert await count_users(api, "kept@example.com") == 1
    await context.close()


async def test_a_form_of_an_older_session_is_shown_and_not_sent(
    console: str, stack: Stack, api: httpx.AsyncClient
) -> None:
    async with httpx.AsyncClient(base_url=console) as client:
        await client.post("/sign-in", data={"key": stack.ready["api_key"]})
        form = {**hidden_of(await client.get("/users/new")), "email": "older@example.com"}
        await client.post("/sign-in", data={"key": stack.ready["api_key"]})
        refused = await client.post("/users/new", data=form)
        assert (refused.status_code, "older@example.com" in refused.text) == (403, True)
        assert await count_users(api, "older@example.com") == 0
        cross = await client.post("/users/new", data=form, headers={"Sec-Fetch-Site": "cross-site"})
        assert (cross.status_code, "older@example.com" in cross.text) == (403, False)
        done = await client.post("/users/new", data={**form, **hidden_of(refused)})
        assert done.status_code == 303


async def test_what_another_site_sends_is_not_kept_for_the_sign_in(console: str) -> None:
    async with httpx.AsyncClient(base_url=console) as client:
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
            data = {"email": "evil@example.com"}
            answer = await client.post("/users/new", data=data, headers=headers)
            assert answer.headers["location"] == "/sign-in?next=%2Fusers%2Fnew"
        kept = '{"path": "//evil.example", "fields": [["email", "x"]]}'
        answer = await client.post("/sign-in", data={"key": "wrong", "kept": kept})
        assert "evil.example" not in answer.text
