"""What PRECIS lets names and usernames consist of (RFC 8264, 8265)."""

# ruff: noqa: RUF001

import re
import time

import pytest
from contracts.readable_text import check_name, check_username
from pydantic_core import PydanticCustomError

# Zero width space, byte order mark, override, soft hyphen, word joiner, Hangul filler, variation
# selector, tag; line separator; private use; not assigned; a joiner that joins nothing.
NOT_READABLE = (
    "\u200b \ufeff \u202e \u00ad \u2060 \u3164 \ufe0f \U000e0041 \u2028 \ue000 \u0378 \u200d"
)


@pytest.mark.parametrize("character", NOT_READABLE.split(" "), ids=ascii)
@pytest.mark.parametrize("check", [check_name, check_username])
def test_what_nobody_can_read_is_refused_by_its_code_point(check, character: str) -> None:
    for text in (f"Ada{character}Lovelace", f"Łu{character}kasz"):
        with pytest.raises(PydanticCustomError, match=re.escape(f"U+{ord(character):04X}")):
            check(text)


@pytest.mark.parametrize(
    "name",
    [
        "O'Neil & Sons, Inc. (EU) – „Größe“ ½ ™ …",
        "Łukasz Żółć", "Nguyễn Văn A", "Οδυσσεύς", "Фёдор", "山田 太郎", "カール・マルクス",
        "김철수",
        "שלום 123 abc", "محمد ٣", "می\u200cخواهم", "क्\u200dष", "L·L a · b", "e\u0308\u0301",
        "👨\u200d👩\u200d👧", "❤\ufe0f\u200d🔥", "👍🏽", "1\ufe0f\u20e3", "🇵🇱",
        "🙋\u200d♀\ufe0f", "ℹ\ufe0f",
    ],
)  # fmt: skip
def test_a_name_is_kept_as_people_write_it(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "a\u200d😀",
        "😀\u200d",
        "\u200d😀",
        "\ufe0f",
        "❤\ufe0f\ufe0f",
        "1\ufe0f",
        "😀\u200da",
        "محمد ٣۳",
    ],
    ids=ascii,
)
def test_joiners_stand_within_emoji_alone(name: str) -> None:
    with pytest.raises(PydanticCustomError):
        check_name(name)


@pytest.mark.parametrize(
    ("username", "kept"),
    [
        ("Ada-99_@x.y", "Ada-99_@x.y"),
        ("Łukasz Żółć", "Łukasz Żółć"),
        ("ＡＣＭＥ", "ACME"),
        ("ｶﾞ", "ガ"),
        ("col·lega", "col·lega"),
        ("דני7", "דני7"),
    ],
)
def test_a_username_has_one_width(username: str, kept: str) -> None:
    assert check_username(username) == kept
    assert check_username(kept) == kept


@pytest.mark.parametrize("username", ["😀", "ﬁn", "a·b", "½", "–", "a\u00a0b", "aדני", "𝒜da"])
def test_a_username_consists_of_letters_and_digits(username: str) -> None:
    with pytest.raises(PydanticCustomError, match="Letters and digits in their plain"):
        check_username(username)


@pytest.mark.alone
def test_a_long_text_is_checked_once_for_each_character() -> None:
    """The library takes 7 us for a character, which an import would have a million times."""
    check_name("é" * 1024)
    begin = time.thread_time()
    check_name("é" * 1024)
    assert time.thread_time() - begin < 0.002
