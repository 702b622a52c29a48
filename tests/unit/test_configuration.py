"""Files of configuration: faults have their place, YAML keeps every value, plans are exact."""

from pathlib import Path
from typing import Any

import pytest
from contracts.organizations import CreateOrganization
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML
from stateful.values import merge_patch as merged
from stateful.values import same_json
from tenantry.cli.output import to_yaml
from tenantry.configuration.file import read_configuration
from tenantry.configuration.models import Configuration, OrganizationEntry, json_schema
from tenantry.configuration.plan import make_plan, merge_patch
from tenantry.configuration.state import Existing, State, export_state
from tenantry.errors import CommandFailed

GOOD = """\
tenantry: 1
projects:
  - slug: web
    name: Web
    settings:
      mfa: off
    api_keys:
      - name: ci
        scopes: [users:read]
"""


def written(tmp_path: Path, text: str, name: str = "tenant.yaml") -> str:
    file = tmp_path / name
    file.write_text(text)
    return str(file)


def faults(*files: str) -> list[str]:
    with pytest.raises(CommandFailed) as failed:
        read_configuration(files)
    return str(failed.value).splitlines()


@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [
        ("    name: Web\n", "    nane: Web\n", "4:5", "nane: is not known here: one of name, slug"),
        ("    name: Web\n", "", "3:5", "projects[0].name: is required"),
        ("mfa: off", "mfa: never", "6:7", "'off', 'optional' or 'required'"),
        ("mfa: off", "mfa: true", "6:7", "projects[0].settings.mfa"),
        ("mfa: off", "mfa: [off", "7:", "expected ',' or ']'"),
        ("slug: web", "slug: Web!", "3:5", "projects[0].slug: must be 1-63 characters"),
        ("[users:read]", "[users:reed]", "9:18", "must be one of projects:read"),
        ("[users:read]", "[users:read]\n      - name: ci\n        scopes: []", "10:9", "already"),
        ("name: Web", "name: Web\n    name: Web", "5:5", "stands here twice"),
        ("tenantry: 1", "tenantry: 2", "1:1", "should be 1"),
        ("tenantry: 1\n", "tenantry: 1\nhooks: []\n", "2:1", "one of tenantry, projects"),
    ],
)
def test_a_fault_has_its_line_and_column_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, place: str, said: str
) -> None:
    file = written(tmp_path, GOOD.replace(old, new, 1))
    found = faults(file)
    assert any(each.startswith(f"{file}:{place}") for each in found), found
    assert any(said in each for each in found), found


@pytest.mark.parametrize(
    "text", ["", "[]", "a", "a: &x [*x]", "- [" * 5000, "\0", "a: !!python/x 1"]
)
def test_what_is_no_configuration_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    assert faults(written(tmp_path, text))


def test_names_that_stand_for_much_more_are_refused(tmp_path: Path) -> None:
    levels = ["a0: &a0 [1,1,1,1,1,1,1,1,1,1]"]
    levels += [f"a{at}: &a{at} [{','.join([f'*a{at - 1}'] * 10)}]" for at in range(1, 9)]
    assert any("too large" in each for each in faults(written(tmp_path, "\n".join(levels))))


def test_two_of_one_name_are_found_across_files(tmp_path: Path) -> None:
    one, two = written(tmp_path, GOOD), written(tmp_path, GOOD, "more.yaml")
    fault = faults(one, two)[0]
    assert fault.startswith(f"{two}:3:5")
    assert f"{one}:3" in fault


def test_files_are_one_configuration(tmp_path: Path) -> None:
    more = written(tmp_path, "tenantry: 1\nwebhooks: []\n", "more.yaml")
    found = read_configuration([written(tmp_path, GOOD), more])
    assert [each.slug for each in found.projects] == ["web"]
    assert found.projects[0].settings.mfa == "off"
    assert found.model_fields_set >= {"projects", "webhooks"}
    assert "organizations" not in found.model_fields_set


def test_the_schema_for_editors_takes_what_is_taken() -> None:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    checker = Draft202012Validator(schema)
    content = YAML(typ="safe", pure=True).load(GOOD)
    assert checker.is_valid(content)
    content["projects"][0]["nane"] = "Web"
    assert not checker.is_valid(content)


def test_an_organization_has_all_fields_but_its_owner() -> None:
    ours = OrganizationEntry.model_fields.keys()
    assert ours == CreateOrganization.model_fields.keys() - {"owner_id"}


def state_of(content: Configuration) -> State:
    """As if it had been applied."""
    state: State = {}
    for kind in ("projects", "organizations", "webhooks"):
        for number, entry in enumerate(getattr(content, kind)):
            values = entry.model_dump(mode="json", exclude={"api_keys"})
            keys: dict[str, list[Existing]] = {}
            for key in getattr(entry, "api_keys", ()):
                dumped = key.model_dump(mode="json")
                keys[key.name] = [Existing("api_keys", f"key_{key.name}", 0, dumped)]
            existing = Existing(kind, f"{kind}_{number}", 1, values, keys)
            state.setdefault(kind, {})[existing.name] = existing
        state.setdefault(kind, {})
    return state


def test_a_plan_is_field_by_field_and_deletes_nothing_by_itself(tmp_path: Path) -> None:
    state = state_of(read_configuration([written(tmp_path, GOOD)]))
    text = GOOD.replace("mfa: off", "access_token_ttl: 60").replace("name: ci", "name: cd")
    wanted = read_configuration([written(tmp_path, f"{text}organizations: []\n")])
    update, create, gone = make_plan(wanted, state, prune=False)
    assert update.fields == {
        "settings.access_token_ttl": (900, 60), "settings.mfa": ("off", "optional"),
    }  # fmt: skip
    assert update.body == {"settings": {"access_token_ttl": 60, "mfa": "optional"}}
    assert (create.action, create.label) == ("create", "api key web/cd")
    assert (gone.action, gone.label, gone.is_allowed) == ("delete", "api key web/ci", False)
    assert make_plan(wanted, state, prune=True)[-1].is_allowed


def test_a_key_that_differs_is_replaced_only_with_prune(tmp_path: Path) -> None:
    state = state_of(read_configuration([written(tmp_path, GOOD)]))
    wanted = read_configuration([written(tmp_path, GOOD.replace("users:read", "users:write"))])
    (change,) = make_plan(wanted, state, prune=False)
    assert (change.action, change.is_allowed) == ("replace", False)
    assert change.fields == {"scopes": (["users:read"], ["users:write"])}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.sampled_from(["off", "yes", "~", "1e3", "0o17", "1_000", "2026-01-01", "<<", "=", " x "]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
@example({"\U00018d09": "\x1b"})
def test_yaml_keeps_every_value(value: Any) -> None:
    text = to_yaml({"value": value})
    assert all(char.isprintable() or char == "\n" for char in text)
    assert same_json(YAML(typ="safe", pure=True).load(text)["value"], value)


OBJECTS = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        st.booleans() | st.integers(0, 2) | st.lists(st.integers(0, 1), max_size=2),
        lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=3,
)


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_makes_the_one_of_the_other(before: Any, after: Any) -> None:
    assert same_json(merged(before, merge_patch(before, after)), after)


def test_an_export_is_a_file_that_changes_nothing(tmp_path: Path) -> None:
    state = state_of(read_configuration([written(tmp_path, GOOD)]))
    exported = written(tmp_path, to_yaml(export_state(state)), "export.yaml")
    assert make_plan(read_configuration([exported]), state, prune=True) == []
