"""Names that change more than one letter with their case, and each way of writing them."""

import unicodedata
from collections.abc import Iterator

HOSTILE_NAMES = (
    "İstanbul I\u015f\u0131k",
    "\u0131sparta",
    "GROẞ & Straße",
    "ὈΔΥΣΣΕΎΣ Οδυσσεύς ς",
    "ᾳ ᾼ ΐ",
    "\u017function \u212aelvin \u212bngström",
    "ﬁle ŉ ǰ և",
    "ꮳꮃꭹ Ꮳꮃꭹ",
    "Ǆ ǅ ǆ",
    "e\u0301 A\u030a i\u0307 I\u0307",
    "\uff05_\\ \uff21cme",
)
CASES = (str.upper, str.lower, str.casefold, str.title, str.swapcase, str.capitalize)
FORMS = ("NFC", "NFD", "NFKC", "NFKD")


def variants(text: str) -> Iterator[str]:
    """The text itself, in each case, and each of these in each form of Unicode."""
    for written in (text, *(case(text) for case in CASES)):
        yield from {written, *(unicodedata.normalize(form, written) for form in FORMS)}
