"""The commands, a file for each group.

Each imports what it needs inside its function: the supervisor of `tenantry dev` must stay light,
and no command should wait for imports that it does not need.
"""

import typer

from tenantry.cli.audit import app as audit
from tenantry.cli.backup import backup, restore
from tenantry.cli.dev import demo, dev, welcome
from tenantry.cli.doctor import doctor
from tenantry.cli.events import app as events
from tenantry.cli.keys import app as keys
from tenantry.cli.release import bootstrap, draft_migration, migrate
from tenantry.cli.root import RootGroup
from tenantry.cli.tenants import app as tenants
from tenantry.cli.users import app as users

app = typer.Typer(
    cls=RootGroup,
    help="Tenantry: multi-tenant authentication you run yourself.",
    epilog="Exit codes: 0 done, 1 something was found or failed, 2 usage or configuration.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(dev)
app.command()(demo)
app.command()(welcome)
app.add_typer(tenants, name="tenant")
app.add_typer(keys, name="keys")
app.add_typer(users, name="users")
app.add_typer(audit, name="audit")
app.add_typer(events, name="events")
app.command()(doctor)
app.command()(backup)
app.command()(restore)
app.command()(migrate)
app.command()(bootstrap)
app.command("draft-migration")(draft_migration)
