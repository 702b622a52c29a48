"""A page has at most 100 KB, whatever a tenant writes; what it leaves out stays as it is."""

import html
import random
import re
from typing import Any

import httpx
import pytest
from console_pages.conftest import HOSTILE, LARGEST
from console_pages.test_refusals import hidden_of

TEXTS = re.compile(r'<textarea [^>]*name="([^"]+)"[^>]*>\n([^<]*)</textarea>')


async def test_a_page_is_small_whatever_a_tenant_writes(
    http: httpx.AsyncClient, api: httpx.AsyncClient
) -> None:
    for number in range(50):
        body = {"url": f"https://example.com/{number}?{'&a' * 900}", "events": ["*"]}
        made = await api.post("/v1/admin/webhooks", json=body)
        assert made.status_code in (201, 409), made.text
    for path in ("/webhooks", "/organizations?limit=200"):
        page = await http.get(path)
        assert (page.status_code, len(page.content) <= LARGEST) == (200, True), path
    for webhook in (await api.get("/v1/admin/webhooks?limit=200")).json()["webhooks"]:
        if webhook["url"].endswith("&a"):
            await api.delete(f"/v1/admin/webhooks/{webhook['id']}")


RANDOM = random.Random(1)
LARGE_OBJECTS: dict[str, Any] = {
    "hostile": {f'"{number}"': HOSTILE * 5 for number in range(30)},
    "escaped": {"a": "&" * 16_000},
    "random": {"a": "".join(chr(RANDOM.randrange(0x4E00, 0x9FFF)) for _ in range(5_400))},
    "nested": {"a": {"a": {"a": {"a": {"a": [[1]] * 4_000}}}}},
}


@pytest.mark.parametrize("name", LARGE_OBJECTS)
async def test_an_object_is_edited_on_a_small_page_whatever_is_in_it(
    http: httpx.AsyncClient, api: httpx.AsyncClient, name: str
) -> None:
    """What is too long for the page is said to be, and stays as it is."""
    large = LARGE_OBJECTS[name]
    body = {"name": f"Large {name}", "metadata": large, "settings": large}
    made = await api.post("/v1/admin/organizations", json=body)
    assert made.status_code == 201, made.text
    path = f"/organizations/{made.json()['id']}"
    page, form = await http.get(path), await http.get(f"{path}/edit")
    for each in (page, form):
        assert (each.status_code, len(each.content) <= LARGEST) == (200, True), len(each.content)
    assert ("too long for this page" in form.text) == (name == "escaped")
    again = {each: html.unescape(text) for each, text in TEXTS.findall(form.text)}
    sent = await http.post(
        f"{path}/edit", data={**hidden_of(form), **again, "name": "Renamed", "slug": f"l-{name}"}
    )
    assert sent.status_code == 303, sent.text
    now = (await api.get(f"/v1/admin{path}")).json()
    assert (now["name"], now["metadata"], now["settings"]) == ("Renamed", large, large)


async def test_a_list_that_is_too_long_for_the_page_stays_as_it_is(
    http: httpx.AsyncClient, api: httpx.AsyncClient
) -> None:
    redirects = [f"https://example.com/{number}?{'&a' * 900}" for number in range(100)]
    body = {"name": "Redirects", "allowed_redirects": redirects}
    path = f"/projects/{(await api.post('/v1/admin/projects', json=body)).json()['id']}"
    form = await http.get(f"{path}/edit")
    assert len(form.content) <= LARGEST
    data = {**hidden_of(form), "name": "Renamed", "settings.access_token_ttl": "not a number"}
    refused = await http.post(f"{path}/edit", data=data)
    assert (refused.status_code, "too long for this page" in refused.text) == (422, True)
    data = {**hidden_of(refused), "name": "Renamed"}
    assert (await http.post(f"{path}/edit", data=data)).status_code == 303
    now = (await api.get(f"/v1/admin{path}")).json()
    assert (now["name"], now["allowed_redirects"]) == ("Renamed", redirects)
