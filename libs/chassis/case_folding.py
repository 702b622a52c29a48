"""Texts are compared without regard to case by one function in the database, `public.fold_case`.

PostgreSQL's `lower` depends on the locale, and Python's on the version of Unicode: values that are
stored and values that are looked up are folded here alone, so they agree.
"""

import sys
from typing import Any

from sqlalchemy import Function, func


def fold_case(text: Any) -> Function[Any]:
    """The key of an address or a name: two texts have one key if only their case differs."""
    return func.fold_case(text)


def create_fold_case() -> str:
    """The statement that creates the function, for a migration. It names its parts in full
    instead of by a search path, so that PostgreSQL can inline it.

    Simple case folding of Unicode (character by character, UAX #44), except that no character
    beyond ASCII becomes one of ASCII: the long s and the Kelvin sign stay. So nobody can write the
    address of somebody else in another way.
    """
    pairs = [(each, _fold(each)) for each in map(chr, range(0x80, sys.maxunicode + 1))]
    changed = [(character, folded) for character, folded in pairs if folded != character]
    before, after = ("".join(side) for side in zip(*changed, strict=True))
    return f"""
CREATE FUNCTION public.fold_case(value text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
SELECT CASE WHEN pg_catalog.octet_length(value) OPERATOR(pg_catalog.=) pg_catalog.length(value)
       THEN pg_catalog.lower(value COLLATE pg_catalog."C")
       ELSE pg_catalog.translate(
         pg_catalog.lower(value COLLATE pg_catalog."C"), '{before}', '{after}'
       ) END COLLATE pg_catalog."C"
$$
"""


def _fold(character: str) -> str:
    for folded in (character.casefold(), character.lower()):
        # A sharp s does not become two letters, a dotted capital I not a letter and a mark.
        if len(folded) == 1 and not folded.isascii():
            return folded
    return character
