"""`tenantry api`: any request, for what has no command."""

import sys
from typing import Annotated, Any

import typer

from tenantry.cli.options import Data, Json, Profile, Url


def api(
    method: Annotated[str, typer.Argument(help="GET, POST, PATCH or DELETE.")],
    path: Annotated[str, typer.Argument(help="Such as /v1/admin/users?limit=1")],
    field: Annotated[
        list[str] | None,
        typer.Option("--field", "-f", help="NAME=VALUE of the body; repeat it for more."),
    ] = None,
    body: Annotated[
        str | None, typer.Option(help="A JSON file with the body, - for standard input.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="Name: value; repeat it for more.")
    ] = None,
    operator: Annotated[
        bool, typer.Option("--operator", help="With the operator's key, not the tenant's.")
    ] = False,
    url: Url = None,
    data: Data = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Send one request and print the answer as it is; the exit code is 1 for a problem.

    It asks for nothing: a DELETE deletes.
    """
    from tenantry.access import Target, find_access
    from tenantry.cli.operation_input import member_of, read_body
    from tenantry.cli.standard_streams import escape_controls, json_escape
    from tenantry.connection import Api
    from tenantry.errors import Misconfigured

    del as_json  # only an error is written in another way
    if not path.startswith("/"):
        raise Misconfigured(f"{path} is no path", "Write one such as /v1/admin/users.")
    headers = {}
    for each in header or ():
        name, colon, value = each.partition(":")
        if not colon:
            raise Misconfigured(f"{each} is no header", "Write --header 'Name: value'.")
        headers[name.strip().replace("-", "_")] = value.strip()
    sent: dict[str, Any] | None = read_body(body) if body else None
    for each in field or ():
        sent = {**(sent or {}), **dict([member_of("--field", each)])}
    access = find_access(Target(url, data, profile), "operator_key" if operator else "api_key")
    with Api(access) as client:
        response = client.send(method.upper(), path, None, sent, **headers)
    text = response.text
    if sys.stdout.isatty():
        text = escape_controls(text, json_escape)
    sys.stdout.write(text if text.endswith("\n") or not text else text + "\n")
