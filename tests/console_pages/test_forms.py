"""Forms: each field of a model, and what was typed as the body that the model takes."""

import json
from typing import Any

import pytest
from console.changes import merge_patch
from console.forms import Form, UnreadableFormError
from console.presentation import as_json
from contracts.json_objects import merge
from contracts.projects import CreateProject
from contracts.users import CreateUser, UpdateUser
from contracts.webhooks import CreateWebhook
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import FormData

scalars = st.one_of(st.booleans(), st.integers(-100, 100), st.text(max_size=5))
objects = st.recursive(
    st.dictionaries(st.text(max_size=3), scalars, max_size=4),
    lambda inner: st.dictionaries(st.text(max_size=3), scalars | inner, max_size=4),
    max_leaves=10,
)


@given(before=objects, after=objects)
def test_a_patch_makes_of_an_object_what_was_typed(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    patch = merge_patch({"metadata": before}, {"metadata": after})
    assert merge({"metadata": before}, patch) == {"metadata": after}


@given(value=objects)
def test_what_was_not_changed_is_not_sent(value: dict[str, Any]) -> None:
    assert merge_patch({"metadata": value, "name": "x"}, {"metadata": value}) == {}


@pytest.mark.parametrize("model", [CreateUser, CreateProject, CreateWebhook])
def test_a_form_has_every_field_of_its_model(model: Any) -> None:
    names = {field.name.partition(".")[0] for field in Form(model).fields({})}
    assert names == set(model.model_fields)


def test_a_form_of_an_update_has_its_fields_alone() -> None:
    names = {field.name for field in Form(CreateUser, tuple(UpdateUser.model_fields)).fields({})}
    assert names == set(UpdateUser.model_fields)


def test_what_is_typed_becomes_a_body() -> None:
    typed = FormData(
        [
            ("name", "Web"),
            ("allowed_origins", " https://a.example \n\nhttps://b.example"),
            ("settings.mfa", "required"),
            ("settings.access_token_ttl", "600"),
            ("settings.allow_sign_up", "true"),
            ("metadata", '{"team": "web"}'),
        ]
    )
    body = Form(CreateProject).read(typed)
    project = CreateProject.model_validate(body)
    assert project.allowed_origins == ["https://a.example", "https://b.example"]
    assert (project.settings.mfa, project.settings.access_token_ttl) == ("required", 600)
    assert project.metadata == {"team": "web"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata", "{"),
        ("metadata", "[]"),
        ("metadata", "[" * 100_000),
        ("settings.access_token_ttl", "1e3"),
    ],
)
def test_what_is_not_of_its_kind_is_named(name: str, text: str) -> None:
    with pytest.raises(UnreadableFormError) as refused:
        Form(CreateProject).read(FormData([("name", "x"), (name, text)]))
    assert set(refused.value.errors.fields) == {name}


def test_a_field_that_the_form_does_not_have_is_left_as_it_is() -> None:
    form = Form(CreateProject)
    values = {"name": "Web", "allowed_origins": ["https://a.example"], "metadata": {"a": "&" * 999}}
    assert form.too_long(form.fields(values), 2000) == ["metadata"]
    fields = form.fields(values, left_out=["metadata"])
    assert {each.name for each in fields if each.kind == "left_out"} == {"metadata"}
    sent = FormData([("name", "New"), ("allowed_origins", "")])
    assert form.read(sent).get("allowed_origins") == []
    assert "metadata" not in form.read(sent)
    assert "metadata" in form.absent(sent)


@pytest.mark.parametrize("inner", [1, [1], []], ids=str)
def test_nested_json_is_as_long_as_it_was(inner: Any) -> None:
    value = {"a": {"a": {"a": {"a": [inner] * 5000}}}}
    text = as_json(value)
    assert (json.loads(text), len(text) < 50_000) == (value, True)
