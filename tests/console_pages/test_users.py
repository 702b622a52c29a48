"""A user with more sessions and organizations than a page has room for: all can be reached."""

import asyncio
import re

import httpx
import pytest
from console_pages.conftest import HOSTILE, LARGEST
from console_pages.test_refusals import hidden_of

MANY = 101
"""One more than the API gives with a user."""
SESSION = re.compile(r"ses_[0-9a-z]{26}")
NEXT = re.compile(r'rel="next" href="([^"]+)"')


@pytest.fixture(scope="package")
async def user(api: httpx.AsyncClient) -> str:
    """The id of one with that many of each."""
    body = {"email": "many@example.com"}
    user_id = str((await api.post("/v1/admin/users", json=body)).json()["id"])
    project = (await api.post("/v1/admin/projects", json={"name": "Many"})).json()["id"]
    session = {"project_id": project, "user_agent": (HOSTILE * 20)[:1024]}
    for number in range(MANY):
        owned = {"name": HOSTILE, "slug": f"many-{number}", "owner_id": user_id}
        made = await asyncio.gather(
            api.post(f"/v1/admin/users/{user_id}/sessions", json=session),
            api.post("/v1/admin/organizations", json=owned),
        )
        assert [each.status_code for each in made] == [201, 201]
    return user_id


async def test_all_sessions_of_a_user_are_listed_page_by_page(
    http: httpx.AsyncClient, user: str
) -> None:
    page = await http.get(f"/users/{user}")
    assert f'href="/users/{user}/sessions">All sessions<' in page.text
    seen: list[str] = []
    query = "?"
    while query:
        page = await http.get(f"/users/{user}/sessions{query}")
        assert len(page.content) <= LARGEST
        seen += re.findall(rf"<td>({SESSION.pattern})", page.text)
        following = NEXT.search(page.text)
        query = following[1].replace("&amp;", "&") if following else ""
    assert (len(seen), len(set(seen))) == (MANY, MANY)


async def test_one_session_is_revoked(http: httpx.AsyncClient, user: str) -> None:
    path = f"/users/{user}/sessions"
    session = SESSION.findall((await http.get(path)).text)[0]
    question = await http.get(f"{path}/{session}/revoke")
    done = await http.post(f"{path}/{session}/revoke", data=hidden_of(question))
    assert done.headers["location"] == f"{path}?done=done"
    revoked = await http.get(f"{path}?status=revoked")
    assert (session in revoked.text, f"{session}/revoke" in revoked.text) == (True, False)


async def test_the_page_of_a_user_is_small_and_leads_to_all_that_there_is(
    http: httpx.AsyncClient, user: str
) -> None:
    page = await http.get(f"/users/{user}")
    assert len(page.content) <= LARGEST
    assert f'href="/organizations?user_id={user}">All organizations<' in page.text
