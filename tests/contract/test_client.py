"""The client against the running product: typed answers, whole lists, safe repeats."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from support.api import Api
from support.stack import Stack
from support.waiting import until
from tenantry_client import AsyncClient, Client, RetryPolicy
from tenantry_client import api as operations
from tenantry_client.errors import (
    InvalidError,
    NoResponseError,
    NotFoundError,
    NotModifiedError,
    UnauthenticatedError,
    VersionMismatchError,
)
from tenantry_client.models import (
    AuditQuery,
    CreateOrganization,
    CreateProject,
    CreateUser,
    DeleteQuery,
    DeletionPreview,
    ExportedEvent,
    ExportQuery,
    FeedQuery,
    ProjectSettings,
    UpdateOrganization,
    UpdateUser,
    UsersQuery,
)


@pytest.fixture
async def tenantry(stack: Stack, api: Api) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(stack.url, api.key) as client:
        yield client


async def test_answers_are_the_models_of_the_contracts(tenantry: AsyncClient) -> None:
    ada = await tenantry(
        operations.create_user(CreateUser(email="ada@EXAMPLE.com", metadata={"n": 1}))
    )
    assert (ada.email, ada.metadata, ada.version) == ("ada@example.com", {"n": 1}, 1)
    assert ada.created_at.tzinfo is UTC
    patched = await tenantry(operations.update_user(ada.id, UpdateUser(name="Ada", username=None)))
    assert (patched.name, patched.metadata) == ("Ada", {"n": 1})
    detail = await tenantry(operations.get_user(ada.id))
    assert (detail.sessions, detail.organizations) == ([], [])
    settings = ProjectSettings(mfa="required")
    project = await tenantry(
        operations.create_project(CreateProject(name="Web", settings=settings))
    )
    assert (project.settings.mfa, project.settings.access_token_ttl) == ("required", 900)


async def test_a_list_is_walked_to_its_end_whatever_the_page(tenantry: AsyncClient) -> None:
    users = [
        CreateUser(email=f"user{n:03}@example.com", metadata={"note": f"Ada\u2028{n}"})
        for n in range(25)
    ]
    results = [each async for each in tenantry.lines(operations.import_users(users))]
    assert [(each.line, each.status) for each in results] == [(n, 201) for n in range(1, 26)]
    query = UsersQuery(limit=10, sort="email", q="user0")
    found = [each.email async for each in tenantry.each(operations.list_users(query))]
    assert found == [each.email for each in users]
    pages = [page async for page in tenantry.pages(operations.list_users(query))]
    assert [len(page.users) for page in pages] == [10, 10, 5]
    assert pages[0].pagination.total == 25
    today = datetime.now(UTC)
    before = operations.list_users(UsersQuery(created_after=today.replace(year=today.year + 1)))
    assert [each async for each in tenantry.each(before)] == []


async def test_the_sync_client_says_the_same(stack: Stack, api: Api) -> None:
    await asyncio.to_thread(_walk, stack.url, api.key)


def _walk(url: str, key: str) -> None:
    with Client(url, key) as tenantry:
        made = [
            tenantry(operations.create_organization(CreateOrganization(name=f"Org {n}")))
            for n in range(3)
        ]
        listed = list(tenantry.each(operations.list_organizations()))
        assert [each.id for each in listed] == [each.id for each in reversed(made)]
        results = list(
            tenantry.lines(operations.import_users([CreateUser(email="a@example.com")] * 2))
        )
        assert [(each.status, each.code) for each in results] == [(201, None), (409, "email_taken")]
        with pytest.raises(NotFoundError) as refused:
            tenantry(operations.get_user("usr_none"))
        assert (refused.value.status, refused.value.code) == (404, "not_found")
        token = tenantry(operations.who_am_i())
        assert token.credential.scopes == ["*"]


async def test_every_change_has_a_key_and_repeats_as_it_was(tenantry: AsyncClient) -> None:
    request = operations.create_user(CreateUser(email="ada@example.com"))
    assert request.build(tenantry._http).headers["Idempotency-Key"]
    keyed = request.idempotency_key("once").request_id("from-the-client")
    first = await tenantry(keyed)
    assert await tenantry(keyed) == first

    async def told() -> bool:
        query = AuditQuery(request_id="from-the-client", action="user.created")
        return (await tenantry(operations.list_events(query))).pagination.total == 1

    await until(told)


async def test_an_old_version_changes_nothing(tenantry: AsyncClient) -> None:
    made = await tenantry(operations.create_organization(CreateOrganization(name="Acme")))
    patch = operations.update_organization(made.id, UpdateOrganization(name="Acme Inc."))
    changed = await tenantry(patch.if_match(made.version))
    with pytest.raises(VersionMismatchError):
        await tenantry(patch.if_match(made.version))
    with pytest.raises(NotModifiedError):
        await tenantry(operations.get_organization(made.id).if_none_match(changed.version))


async def test_a_deletion_tells_first_what_it_takes(tenantry: AsyncClient) -> None:
    made = await tenantry(operations.create_organization(CreateOrganization(name="Acme")))
    preview = await tenantry(operations.delete_organization(made.id, DeleteQuery(dry_run=True)))
    assert isinstance(preview, DeletionPreview)
    assert await tenantry(operations.delete_organization(made.id)) is None


async def test_a_refusal_names_the_field(tenantry: AsyncClient, stack: Stack) -> None:
    wrong = CreateUser.model_construct(_fields_set={"email"}, email="nobody")
    with pytest.raises(InvalidError) as refused:
        await tenantry(operations.create_user(wrong))
    assert [each["field"] for each in refused.value.errors] == ["email"]
    assert refused.value.request_id
    async with AsyncClient(stack.url, "tnt_test_none") as stranger:
        with pytest.raises(UnauthenticatedError):
            await stranger(operations.who_am_i())


async def test_the_trail_is_exported_and_followed(tenantry: AsyncClient) -> None:
    made = await tenantry(operations.create_organization(CreateOrganization(name="Acme")))

    async def in_the_trail() -> bool:
        trail = await tenantry(operations.list_events())
        return any(each.resource_id == made.id for each in trail.events)

    await until(in_the_trail)
    lines = [each async for each in tenantry.lines(operations.export_events())]
    # The tenant's own events are another service's: either may come first.
    (told,) = [each for each in lines if each.action == "organization.created"]
    assert told.resource_id == made.id
    assert told.seal.digest
    followed = tenantry.lines(operations.follow_events(FeedQuery(after=told.sequence - 1)))
    assert (await anext(followed)).id == told.id
    await followed.aclose()


async def test_nobody_there_is_said_plainly() -> None:
    async with AsyncClient("http://127.0.0.1:9", retry_policy=RetryPolicy(tries=2)) as client:
        with pytest.raises(NoResponseError):
            await client(operations.who_am_i())


async def test_a_trail_is_downloaded_in_either_format(tenantry: AsyncClient) -> None:
    made = await tenantry(operations.create_organization(CreateOrganization(name="Acme")))
    query = AuditQuery(resource_id=made.id)

    async def in_the_trail() -> bool:
        return (await tenantry(operations.list_events(query))).pagination.total == 1

    await until(in_the_trail)
    wanted = ExportQuery(resource_id=made.id)
    lines = b"".join([each async for each in tenantry.download(operations.export_events(wanted))])
    (told,) = [each async for each in tenantry.lines(operations.export_events(wanted))]
    assert ExportedEvent.model_validate_json(lines) == told
    wanted.format = "csv"
    table = b"".join([each async for each in tenantry.download(operations.export_events(wanted))])
    assert table.splitlines()[1].startswith(told.id.encode())


async def test_lines_are_imported_as_they_are_and_a_repeat_is_known(tenantry: AsyncClient) -> None:
    lines = [b'{"email": "ada@example.com"}', b"no json"]
    request = operations.import_lines(lines).idempotency_key("once")
    first, again = await tenantry.send(request), await tenantry.send(request)
    assert [each.status for each in request.read_lines(first)] == [201, 400]
    assert request.read_lines(again) == request.read_lines(first)
    headers = [each.headers.get("Idempotent-Replayed") for each in (first, again)]
    assert headers == [None, "true"]
