"""A form that was not done: what was typed stays, and can be sent again until it is done, once."""

import asyncio
import html
import re
import signal

import httpx
import pytest
from chassis.encryption import Keyring
from chassis.health import Health
from console.app import make_app
from console.deadline import Deadline
from console.errors import late_page
from console.refusals import REFUSALS, errors_of, next_key, status_of
from console.sign_in import Sessions
from console.web import COOKIE, Edge
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
KEPT = re.compile(r'<textarea name="([^"]+)" hidden>\n([^<]*)</textarea>')


def hidden_of(page: httpx.Response) -> dict[str, str]:
    """The hidden fields of a page; the last form has the last word."""
    return {name: html.unescape(value) for name, value in HIDDEN.findall(page.text)}


def kept_of(page: httpx.Response) -> dict[str, str]:
    """What a page sends again that shows what was typed."""
    kept = {name: html.unescape(value) for name, value in KEPT.findall(page.text)}
    return {**hidden_of(page), **kept}


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
    if sent.status_code in (503, 504):
        assert f"{name}@hangs.example" in sent.text

    async def is_well() -> bool:
        return (await http.get("/users")).status_code == 200

    await until(is_well, 20)


async def test_a_form_that_comes_while_redis_hangs_is_kept_and_done_by_sending_it_again(
    http: httpx.AsyncClient, api: httpx.AsyncClient, stack: Stack
) -> None:
    """Nobody knows then who sends it: its token is checked when it is sent again."""
    form = {**hidden_of(await http.get("/users/new")), "name": "<b>Ada</b>"}
    own = {**form, "email": "hung@example.com"}
    forged = {**form, "email": "forged-hung@example.com", "form_token": "x"}
    cross = {"Sec-Fetch-Site": "cross-site"}
    stack.hang("redis", signal.SIGSTOP)
    try:
        refused, of_another, of_a_site = await asyncio.gather(
            http.post("/users/new", data=own),
            http.post("/users/new", data=forged),
            http.post("/users/new", data=forged, headers=cross),
        )
    finally:
        stack.hang("redis", signal.SIGCONT)
    for answer in (refused, of_another, of_a_site):
        assert (answer.status_code, "Nothing was changed" in answer.text) == (503, True)
    assert ("hung@example.com" in refused.text, "<b>Ada" in refused.text) == (True, False)
    assert "forged-hung@example.com" not in of_a_site.text
    done = await http.post("/users/new", data=kept_of(refused))
    assert done.status_code == 303, done.text
    assert (await http.post("/users/new", data=kept_of(of_another))).status_code == 403
    assert await count_users(api, "hung@example.com") == 1
    assert await count_users(api, "forged-hung@example.com") == 0


async def test_a_form_that_takes_too_long_is_kept_with_its_key() -> None:
    async def hang(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    sessions = Sessions(Keyring({"k": bytes(32)}), None)
    _, cookie = await sessions.begin("key", "key_1", ("ten_1", "Acme"), ["*"])
    edge = Edge("http://edge", httpx.MockTransport(hang), 60, {})
    app = Deadline(make_app(sessions, edge, Health()), 0.3, late_page)
    transport, cookies = httpx.ASGITransport(app), {COOKIE: cookie}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost", cookies=cookies
    ) as client:
        form = {**hidden_of(await client.get("/users/new")), "email": "late@example.com"}
        late = await client.post("/users/new", data=form)
    assert (late.status_code, "it is done once" in late.text) == (503, True)
    assert kept_of(late) == form


async def test_a_sign_in_that_cannot_be_done_now_keeps_what_was_typed(
    console: str, stack: Stack
) -> None:
    kept = '{"path": "/users/new", "fields": [["email", "still@example.com"]]}'
    data = {"key": stack.ready["api_key"], "kept": kept}
    async with httpx.AsyncClient(base_url=console) as client:
        for name in ("edge", "redis"):
            stack.hang(name, signal.SIGSTOP)
            try:
                refused = await client.post("/sign-in", data=data)
            finally:
                stack.hang(name, signal.SIGCONT)
            assert (refused.status_code, "still@example.com" in refused.text) == (503, True), name


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
