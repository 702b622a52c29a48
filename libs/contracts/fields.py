"""The kinds of value that bodies and queries are made of, each with its rule and its message.

Pure: a value comes in as JSON gave it and leaves normalised (NFC, trimmed, lower-cased where the
contract says so) or is refused with a message that tells what to do.
"""

import re
import unicodedata
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any

import email_validator
from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.json_schema import WithJsonSchema
from pydantic_core import PydanticCustomError

from contracts.readable_text import check_name, check_username

EMAIL_LENGTH = 254
RAW_PER_CHARACTER = 4
"""Characters that a caller may write for one that is kept: NFC composes them, blanks are trimmed.
Longer text is refused before anything else looks at it.
"""
COMBINING_MARKS = 30
"""In a row, as in the stream-safe text format (UAX #15): normalising them is quadratic in time."""

email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()
"""Self-hosted installations have users at `.local`, `.internal` and `.test`."""

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# Most addresses there are: none of these needs what the library knows of the rest.
_PLAIN_EMAIL = re.compile(
    r"(?=.{1,64}@)[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*"
    r"@(?!.*--)(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATE_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:)([0-9]{2})(\.[0-9]+)?"
    r"(Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_TIME_LENGTH = 64


def fault(code: str, message: str) -> PydanticCustomError:
    """A refusal with a code of ours; the message may not contain braces."""
    return PydanticCustomError(code, message)


def _clean(value: str, maximum: int) -> str:
    """NFC and trimmed; refuses control characters, which no name or label needs.

    The caller checks that at most `maximum` characters are left.
    """
    if len(value) > maximum * RAW_PER_CHARACTER:
        raise fault("invalid_length", f"must have at most {maximum} characters")
    if value.isascii() and value.isprintable():
        return value.strip()
    marks = 0
    for character in value:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks > COMBINING_MARKS:
            raise fault(
                "invalid_text",
                f"must not have more than {COMBINING_MARKS} combining marks in a row",
            )
    value = unicodedata.normalize("NFC", value).strip()
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        raise fault("control_character", "must not contain control characters")
    return value


def _slug(value: str) -> str:
    if not (1 <= len(value) <= 63 and _SLUG.fullmatch(value)):
        raise fault(
            "invalid_slug",
            "must be 1-63 characters of a-z and 0-9, with single hyphens between them",
        )
    return value


def slug_from(name: str, fallback: str) -> str:
    """The slug of a name: letters folded to ASCII, everything else a hyphen; else `fallback`."""
    folded = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall(r"[a-z0-9]+", folded))[:63].strip("-") or fallback


def _email(value: str) -> str:
    value = _clean(value, EMAIL_LENGTH)
    if len(value) > EMAIL_LENGTH:
        raise fault("invalid_email", f"must have at most {EMAIL_LENGTH} characters")
    if len(value.rpartition("@")[0].encode(errors="replace")) > 64:
        raise fault("invalid_email", "must have at most 64 octets before its @")
    if _PLAIN_EMAIL.fullmatch(value):
        local, _, domain = value.partition("@")
        return f"{local}@{domain.lower()}"
    try:
        return validate_email(
            value, check_deliverability=False, globally_deliverable=False
        ).normalized
    except EmailNotValidError:
        raise fault("invalid_email", "must be an email address such as ada@example.com") from None


def _instant(value: Any) -> datetime:
    """RFC 3339 with an offset, to UTC."""
    if isinstance(value, datetime):
        return value
    is_text = isinstance(value, str) and len(value) <= _TIME_LENGTH
    parts = _DATE_TIME.fullmatch(value.upper()) if is_text else None
    if parts is None:
        raise fault("invalid_time", "must be an RFC 3339 time such as 2026-01-15T10:00:00Z")
    minute, second, fraction, offset = parts.groups(default="")
    is_leap = second == "60"
    try:
        text = f"{minute}{'59' if is_leap else second}{fraction[:7]}{offset}"
        instant = datetime.fromisoformat(text).astimezone(UTC)
        if is_leap:
            instant = _after_leap_second(instant)
    except (ValueError, OverflowError):
        raise fault("invalid_time", "is not a time that exists") from None
    return instant


def _after_leap_second(instant: datetime) -> datetime:
    """A second later. A leap second is the last of a day (RFC 3339 5.6); computers have none."""
    if (instant.hour, instant.minute) != (23, 59):
        raise ValueError
    return instant + timedelta(seconds=1)


def first_instant(value: Any) -> datetime:
    """A date or a time; a bare date is its first instant."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        return _instant(f"{value}T00:00:00Z")
    return _instant(value)


def last_instant(value: Any) -> datetime:
    """A date or a time; a bare date is its last microsecond, so that the day is included."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        day = first_instant(value).date()
        return datetime.combine(day, time.max, UTC)
    return _instant(value)


def _digits(value: Any) -> Any:
    """Query numbers are plain digits: no sign, space, underscore or fraction."""
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit()) or len(value) > 18:
            raise fault("invalid_integer", "must be a whole number in decimal digits")
        return int(value)
    return value


def _flag(value: Any) -> Any:
    if isinstance(value, str):
        if value not in ("true", "false"):
            raise fault("invalid_boolean", "must be true or false")
        return value == "true"
    return value


def _between(minimum: int, maximum: int) -> AfterValidator:
    """Text of so many characters, counted after cleaning."""

    def check(value: str) -> str:
        value = _clean(value, maximum)
        if not minimum <= len(value) <= maximum:
            raise fault("invalid_length", f"must have {minimum} to {maximum} characters")
        return value

    return AfterValidator(check)


def _text_schema(minimum: int, maximum: int, example: str) -> WithJsonSchema:
    return WithJsonSchema(
        {"type": "string", "minLength": minimum, "maxLength": maximum, "examples": [example]}
    )


Name = Annotated[str, _between(1, 255), _text_schema(1, 255, "Acme Inc.")]
Handle = Annotated[str, _between(1, 255), _text_schema(1, 255, "ada")]
"""A username or an external id."""
NameInput = Annotated[Name, AfterValidator(check_name)]
"""Of a body that creates, as each `…Input`. A patch has `WhenChanged` instead."""
UsernameInput = Annotated[Handle, AfterValidator(check_username)]
ExternalIdInput = Annotated[Handle, AfterValidator(check_name)]
Search = Annotated[str, _between(1, 255), _text_schema(1, 255, "acme")]
Description = Annotated[str, _between(0, 1024), _text_schema(0, 1024, "Feeds billing")]
DescriptionInput = Annotated[Description, AfterValidator(check_name)]
Slug = Annotated[
    str,
    AfterValidator(_slug),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$",
            "minLength": 1,
            "maxLength": 63,
            "examples": ["acme"],
        }
    ),
]
Email = Annotated[
    str,
    AfterValidator(_email),
    WithJsonSchema(
        {
            "type": "string",
            "format": "email",
            "maxLength": EMAIL_LENGTH,
            "examples": ["ada@example.com"],
        }
    ),
]
EmailInput = Annotated[Email, AfterValidator(check_name)]
Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-01-15T10:00:00Z"]}),
]
"""A time of a body, a query or an answer: RFC 3339, UTC in answers."""
_DAY_OR_INSTANT = WithJsonSchema(
    {
        "type": "string",
        "description": "A date, or an RFC 3339 time.",
        "examples": ["2026-01-15", "2026-01-15T10:00:00Z"],
    }
)
FromDay = Annotated[datetime, BeforeValidator(first_instant), _DAY_OR_INSTANT]
UntilDay = Annotated[datetime, BeforeValidator(last_instant), _DAY_OR_INSTANT]
DIGITS = BeforeValidator(_digits)
"""Comes last, so that bounds before it are of the integer and get into the JSON Schema."""
Flag = Annotated[bool, BeforeValidator(_flag)]
Role = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$", examples=["member"])]
Permission = Annotated[
    str,
    Field(pattern=r"^[a-z][a-z0-9_.-]*(:[a-z][a-z0-9_.-]*)*$", max_length=100),
    Field(examples=["billing:read"]),
]


def _distinct(values: list[str]) -> list[str]:
    if len(set(values)) != len(values):
        raise fault("duplicate", "must not contain the same entry twice")
    return values


Permissions = Annotated[list[Permission], Field(max_length=100), AfterValidator(_distinct)]
