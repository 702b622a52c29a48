"""What is left of an event when the person is erased: identifiers, states and times."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from contracts.catalogue import EVENT_TYPES
from contracts.event_validation import validate_event
from contracts.examples import example_event
from contracts.personal_data import (
    PERSONAL_RESOURCES,
    erased_people,
    person_of,
    without_personal_data,
)
from contracts.users import UserDeleted

PERSONAL = [name for name in EVENT_TYPES if name.partition(".")[0] in PERSONAL_RESOURCES]
WORDS = ("ada@example.com", "Ada", "ada", "203.0.113.7", "Mozilla/5.0", "pro")


def event_of(name: str) -> dict[str, Any]:
    event = example_event(EVENT_TYPES[name])
    if "changes" in event["data"]:
        event["data"]["changes"] = {
            "email": {"from": "ada@example.com", "to": None},
            "metadata": {"from": {}, "to": {"plan": "pro"}},
            "status": {"from": "active", "to": "suspended"},
        }
    return event


@pytest.mark.parametrize("name", PERSONAL)
def test_nothing_personal_is_left_and_the_form_stays(name: str) -> None:
    event = event_of(name)
    erased = without_personal_data(event)
    text = orjson.dumps(erased["data"]).decode()
    assert not [word for word in WORDS if f'"{word}"' in text]
    validate_event(EVENT_TYPES[name].subject(), erased, datetime.now(UTC))
    assert {**event, "data": None} == {**erased, "data": None}
    assert without_personal_data(erased) == erased


@pytest.mark.parametrize("name", sorted(set(EVENT_TYPES) - set(PERSONAL)))
def test_an_event_about_no_person_stays_as_it_is(name: str) -> None:
    event = event_of(name)
    assert without_personal_data(event) == event
    assert person_of(name, event["subject"], event["data"]) is None


@pytest.mark.parametrize("name", PERSONAL)
def test_whom_an_event_is_about_is_known(name: str) -> None:
    event = event_of(name)
    person = person_of(name, event["subject"], event["data"])
    assert person is not None
    assert person.startswith("inv_" if name.startswith("invitation.") else "usr_")


def test_a_deletion_names_the_user_and_the_invitations_of_the_user() -> None:
    assert erased_people({"user_id": "usr_1"}) == ["usr_1"]
    assert erased_people({"user_id": "usr_1", "invitation_ids": ["inv_1"]}) == ["usr_1", "inv_1"]
    assert "invitation_ids" in UserDeleted.model_fields
