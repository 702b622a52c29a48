"""Commands of version 0.1 as they are written now. They work for a release, and say so.

To be removed with version 0.3.
"""

import shlex
from collections.abc import Sequence

_OPTIONS = {"--scope": "--scopes", "--expires": "--expires-at"}
_VALUED = ("--slug", "--url", "--data")


def translate(arguments: Sequence[str]) -> tuple[list[str], str | None]:
    """The arguments as they are now, and what to tell whoever wrote the old ones."""
    now = list(arguments)
    if now[:1] == ["tenant"]:
        now[0] = "tenants"
        if now[1:2] == ["create"]:
            _name_option(now)
    elif now[:2] == ["keys", "create"]:
        _key_options(now)
    if now == list(arguments):
        return now, None
    line = shlex.join(["tenantry", *now])
    return now, f"This form goes with the next release. Write: {line}"


def _name_option(arguments: list[str]) -> None:
    """The name of a tenant was an argument."""
    at = 2
    while at < len(arguments):
        if arguments[at] in _VALUED:
            at += 1
        elif not arguments[at].startswith("-"):
            arguments.insert(at, "--name")
            return
        at += 1


def _key_options(arguments: list[str]) -> None:
    for at, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name in _OPTIONS:
            arguments[at] = f"{_OPTIONS[name]}{equals}{value}"
        elif argument == "--publishable":
            arguments[at] = "--type=publishable"
