"""The commands: made of the API's operations, and those that are written by hand, a file each.

Each imports what it needs inside its function: the supervisor of `tenantry dev` must stay light,
and no command should wait for imports that it does not need.
"""

import typer

from tenantry.cli.api import api
from tenantry.cli.apply import apply, export
from tenantry.cli.backup import backup, restore
from tenantry.cli.completion import completion
from tenantry.cli.dev import demo, dev, welcome
from tenantry.cli.doctor import doctor
from tenantry.cli.profiles import login, logout, profiles
from tenantry.cli.release import bootstrap, draft_migration, migrate
from tenantry.cli.root import RootGroup, root

app = typer.Typer(
    cls=RootGroup,
    callback=root,
    help="Tenantry: multi-tenant authentication you run yourself.",
    epilog="Exit codes: 0 done; 1 something was found, refused or failed; 2 usage or "
    "configuration, or with --dry-run changes; 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command()(login)
app.command()(logout)
app.command()(profiles)
app.command()(apply)
app.command()(export)
app.command()(api)
app.command()(completion)
app.command()(dev)
app.command()(demo)
app.command()(welcome)
app.command()(doctor)
app.command()(backup)
app.command()(restore)
app.command()(migrate)
app.command()(bootstrap)
app.command("draft-migration")(draft_migration)
