"""What names and usernames may consist of: PRECIS (RFC 8264, 8265), by the library `precis_i18n`.

Only what is written anew is checked: what was stored before this rule stays readable, and a patch
may send it back. The length is checked before, because the library takes 7 us for a character.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from precis_i18n import get_profile
from pydantic_core import PydanticCustomError

_FREEFORM = "FreeFormClass"
_USERNAME = "UsernameCasePreserved"
_PROFILES = {name: get_profile(name) for name in (_FREEFORM, _USERNAME)}
_ALLOWED = {
    _FREEFORM: "Letters, digits, punctuation, symbols and spaces are allowed; characters that are"
    " invisible or not assigned are not.",
    _USERNAME: "Letters and digits in their plain forms and the visible characters of ASCII are"
    " allowed.",
}
# What these may stand beside depends on the direction of the text and on its other digits.
_IN_CONTEXT = {_FREEFORM: ("AN", "EN"), _USERNAME: ("AN", "EN", "R", "AL")}
_MIDDLE_DOT = "\u00b7"
_EMOJI_STYLE, _JOINER, _KEYCAP = "\ufe0f", "\u200d", "\u20e3"
_SYMBOLS = ("So", "Sk", "Sm")
_OTHER_EMOJI = "\u203c\u2049\u2139\u3030\u303d"


@dataclass(frozen=True)
class WhenChanged:
    """Beside the type of a patch's field: the rule for a value that differs from the stored one."""

    check: Callable[[str], str]


def check_name(value: str) -> str:
    """FreeformClass (RFC 8264 4.3), joined emoji, and a middle dot between any words."""
    if not _is_plain(_FREEFORM, value):
        _enforce(_FREEFORM, _without_emoji_joiners(value).replace(_MIDDLE_DOT, ""))
    return value


def check_username(value: str) -> str:
    """UsernameCasePreserved for each part between spaces (RFC 8265 3.5): wide letters are mapped.

    The database compares usernames without regard to case.
    """
    if _is_plain(_USERNAME, value):
        return value
    return " ".join(_enforce(_USERNAME, part) for part in value.split(" "))


def _is_plain(profile: str, value: str) -> bool:
    """Whether each character is allowed, and would be beside any other."""
    return value.isascii() or all(
        character.isascii() or _is_plain_character(profile, character) for character in value
    )


@lru_cache(maxsize=20_000)
def _is_plain_character(profile: str, character: str) -> bool:
    if unicodedata.bidirectional(character) in _IN_CONTEXT[profile]:
        return False
    try:
        return bool(_PROFILES[profile].enforce(character) == character)
    except UnicodeEncodeError:
        return False


def _enforce(profile: str, value: str) -> str:
    if not value or value.isascii():
        return value
    try:
        return str(_PROFILES[profile].enforce(value))
    except UnicodeEncodeError as error:
        refused = error.object[error.start : error.end]
        what = f"contain U+{ord(refused):04X} here" if len(refused) == 1 else "go in two directions"
        raise PydanticCustomError(
            "invalid_text",
            "must not {what}. {allowed}",
            {"what": what, "allowed": _ALLOWED[profile]},
        ) from None


def _without_emoji_joiners(value: str) -> str:
    """The text without the invisible characters that stand within an emoji, and nowhere else."""
    if _EMOJI_STYLE not in value and _JOINER not in value:
        return value
    return "".join(each for place, each in enumerate(value) if not _joins_emoji(value, place))


def _joins_emoji(value: str, place: int) -> bool:
    before, after = value[max(place - 1, 0) : place], value[place + 1 : place + 2]
    if value[place] == _EMOJI_STYLE:
        return _is_symbol(before) or (before in tuple("0123456789#*") and after == _KEYCAP)
    return value[place] == _JOINER and (
        (before == _EMOJI_STYLE or _is_symbol(before)) and _is_symbol(after)
    )


def _is_symbol(character: str) -> bool:
    return character != "" and (
        unicodedata.category(character) in _SYMBOLS or character in _OTHER_EMOJI
    )
