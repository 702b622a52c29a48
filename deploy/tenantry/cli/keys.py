"""`tenantry keys`: the rotation of the installation's own keys, on the services' databases."""

from typing import Annotated

import typer

from tenantry.cli.options import Data, Json, group

app = group("The rotation of the installation's own keys.")


@app.command()
def rewrap(data: Data = None, as_json: Json = False) -> None:
    """Encrypt all stored secrets again with the first encryption key of their service.

    Works on the databases of projects and webhooks, also while the services run. If it was
    interrupted, run it again.
    """
    import asyncio

    from tenantry.cli import output
    from tenantry.installation import find_installation
    from tenantry.operations.key_rotation import rotate_keys

    rotated = asyncio.run(rotate_keys(find_installation(data)))
    if as_json:
        output.print_json({"rewrapped": rotated})
        return
    rows = [{"service": service, "encrypted_again": count} for service, count in rotated.items()]
    output.print_table(rows, ("service", "encrypted_again"))
    output.print_line(
        "All stored secrets use the first key now. Stored answers of idempotent requests go within "
        "24 hours: keep the older keys in the list until then."
    )


@app.command()
def rotate_token_key(
    leaked: Annotated[
        bool, typer.Option("--leaked", help="Refuse all tokens of the old key at once.")
    ] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Sign access tokens with the next key; tokens of the old one work until they end.

    Works on the database of projects. It happens by itself every 90 days.
    """
    import asyncio

    from tenantry.cli import output
    from tenantry.installation import find_installation
    from tenantry.operations.token_keys import rotate_token_key

    kid = asyncio.run(rotate_token_key(find_installation(data), leaked=leaked))
    if as_json:
        output.print_json({"active": kid})
    else:
        output.print_line(f"{kid} signs access tokens now.", "green")


@app.command()
def hashes(data: Data = None, as_json: Json = False) -> None:
    """Show how many working secrets each hash key has hashed; one with none can be removed."""
    import asyncio

    from tenantry.cli import output
    from tenantry.installation import find_installation
    from tenantry.operations.hash_usage import count_by_hash_key

    rows = asyncio.run(count_by_hash_key(find_installation(data)))
    if as_json:
        output.print_json({"hashes": rows})
    else:
        output.print_table(rows, ("service", "key", "secrets"))
