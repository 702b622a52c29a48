"""`tenantry login`, `logout` and `profiles`: addresses and keys, kept for the commands after."""

import sys
from typing import Annotated

import typer

from tenantry.cli.options import Json, Url

Name = Annotated[str, typer.Option("--profile", help="The name to keep it by.")]


def login(
    url: Url = None,
    profile: Name = "default",
    as_json: Json = False,
) -> None:
    """Keep an address and a key, of a tenant or of the operator, in a file that is yours alone.

    The key is asked for, or read from standard input: no list of processes shows it. It is tried
    before it is kept. A profile may have both kinds of key.
    """
    from tenantry.access import Access
    from tenantry.cli import output
    from tenantry.connection import Api
    from tenantry.errors import CommandFailed, Misconfigured
    from tenantry.installation import api_url, check_url
    from tenantry.profiles import profiles_file, save_profile

    address = api_url(url, None)
    if sys.stdin.isatty():
        if url is None:
            address = check_url(typer.prompt("Address of the API", default=address, err=True))
        key = typer.prompt("Key", hide_input=True, err=True).strip()
    else:
        key = sys.stdin.read().strip()
    if not key:
        raise Misconfigured("there is no key on standard input", "Write it there: login < key.txt")
    with Api(Access(address, key)) as api:
        try:
            tenant = api("GET", "/v1/admin/tenant")["tenant"]["slug"]
            kind = "api_key"
        except CommandFailed as failed:
            if failed.details.get("status") != 403:
                raise
            api("GET", "/v1/admin/tenants", {"limit": 1})
            kind, tenant = "operator_key", None
    save_profile(profile, address, kind, key)
    if as_json:
        output.print_json({"profile": profile, "url": address, "kind": kind, "tenant": tenant})
    else:
        who = f"the tenant {tenant}" if tenant else "the operator"
        output.print_line(f"{profile}: {who} at {address}, kept in {profiles_file()}.", "green")


def logout(profile: Name = "default", as_json: Json = False) -> None:
    """Forget a profile. Its key works on: revoke it if it shall not."""
    from tenantry.cli import output
    from tenantry.profiles import delete_profile

    delete_profile(profile)
    if as_json:
        output.print_json({"profile": profile, "deleted": True})
    else:
        output.print_line(f"{profile} is forgotten.", "green")


def profiles(as_json: Json = False) -> None:
    """List the profiles, without their keys."""
    from tenantry.cli import output
    from tenantry.profiles import load_profiles

    rows = [
        {
            "profile": name,
            "url": each.url,
            "keys": [kind for kind in ("api_key", "operator_key") if getattr(each, kind)],
        }
        for name, each in load_profiles().items()
    ]
    if as_json:
        output.print_json({"profiles": rows})
    else:
        output.print_table(rows, ("profile", "url", "keys"))
