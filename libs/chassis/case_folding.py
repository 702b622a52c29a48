"""Texts are compared without regard to case by functions in the database: `public.fold_case` tells
whether two identifiers are the same, `public.fold_search` whether a text contains another.

Python's `lower` is not PostgreSQL's: what is stored and what is looked up are folded in the
database alone, so they agree. What a row stores is folded by PL/pgSQL, whose plans a session keeps:
PostgreSQL parses SQL again for each statement that computes a column by it, 15 to 40 us. A pattern
that is searched for is folded by `public.fold_pattern`, the same in SQL.
"""

from typing import Any

from sqlalchemy import Function, func

CASED_END = 0x20000
"""No character from here on has a case. To look at all of them would cost a migration a second, in
which it holds its tables.
"""


def fold_case(text: Any) -> Function[Any]:
    """The key of an address or a name: two texts have one key if only their case differs."""
    return func.fold_case(text)


def fold_search(text: Any) -> Function[Any]:
    """What a LIKE pattern is compared as (`chassis.listing`), with what `fold_search` stored."""
    return func.fold_pattern(text)


def create_fold_case() -> str:
    """The statement that creates the function, for a migration. It names its parts in full
    instead of by a search path, which would cost more than the call.

    Simple case folding of Unicode (character by character, UAX #44), except that no character
    beyond ASCII becomes one of ASCII: the long s and the Kelvin sign stay. So nobody can write the
    address of somebody else in another way.
    """
    pairs = [(each, _fold(each)) for each in map(chr, range(0x80, CASED_END))]
    changed = [(character, folded) for character, folded in pairs if folded != character]
    before, after = ("".join(side) for side in zip(*changed, strict=True))
    return f"""
CREATE OR REPLACE FUNCTION public.fold_case(value text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
RETURN CASE WHEN pg_catalog.octet_length(value) OPERATOR(pg_catalog.=) pg_catalog.length(value)
       THEN pg_catalog.lower(value COLLATE pg_catalog."C")
       ELSE pg_catalog.translate(
         pg_catalog.lower(value COLLATE pg_catalog."C"), '{before}', '{after}'
       ) END COLLATE pg_catalog."C";
END $$
"""


def create_fold_search(server_version: tuple[int, ...]) -> str:
    """The statement that creates the function, for a migration.

    The compatibility caseless match of Unicode (3.13, D146), so that a text has one form whatever
    its case and its width. By way of its capital a letter meets all that share it: the final sigma,
    and the dotless i, as the four letters i of Turkish are one; their case has two rules.

    What is stored outlives PostgreSQL, which may know a later Unicode then. Assigned characters
    keep their case and their decompositions (Unicode stability policies), so only those that were
    not assigned before fold otherwise. PostgreSQL 16 has no locale of its own: the database's.
    """
    return f"""
CREATE OR REPLACE FUNCTION public.fold_search(value text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN RETURN {_folded(server_version)}; END $$
"""


def create_fold_pattern(server_version: tuple[int, ...]) -> str:
    """The same for patterns. Neither STRICT nor with a search path: PostgreSQL can inline it, and
    so computes it once in a plan for any pattern, and not for each row.
    """
    return f"""
CREATE FUNCTION public.fold_pattern(value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT {_folded(server_version)} $$
"""


def _folded(server_version: tuple[int, ...]) -> str:
    locale = "pg_catalog.pg_c_utf8" if server_version >= (17,) else 'pg_catalog."default"'
    return f"""
  CASE WHEN pg_catalog.octet_length(value) OPERATOR(pg_catalog.=) pg_catalog.length(value)
       THEN pg_catalog.lower(value COLLATE pg_catalog."C")
       ELSE pg_catalog.normalize(
         pg_catalog.replace(pg_catalog.replace(
           pg_catalog.lower(
             pg_catalog.upper(pg_catalog.normalize(value, 'NFKD') COLLATE {locale})
             COLLATE {locale}),
           '\u00df', 'ss'), 'i\u0307', 'i'),
         'NFKC') COLLATE pg_catalog."C" END
"""


def _fold(character: str) -> str:
    for folded in (character.casefold(), character.lower()):
        # A sharp s does not become two letters, a dotted capital I not a letter and a mark.
        if len(folded) == 1 and not folded.isascii():
            return folded
    return character
