"""`tenantry apply` and `tenantry export`: a tenant's configuration as YAML in git."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tenantry.cli.options import Data, Json, Profile, Url, Yes, confirm

if TYPE_CHECKING:
    from tenantry.configuration.models import Configuration
    from tenantry.configuration.plan import Change
    from tenantry.configuration.secrets_file import SecretsFile
    from tenantry.configuration.state import State
    from tenantry.connection import Api

CHANGES = 2
"""The exit code of --dry-run when there is something to do."""
_SIGNS = {"create": "+", "update": "~", "replace": "-/+", "delete": "-"}
_STYLES = {"create": "green", "update": "yellow", "replace": "red", "delete": "red"}


def apply(
    file: Annotated[
        list[str] | None,
        typer.Option("--file", "-f", help="YAML, - for standard input; repeat it for more."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show the plan; exit 2 if it has changes.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete what is in no file, of the lists in it.")
    ] = False,
    secrets: Annotated[
        Path | None,
        typer.Option(help="File for the secrets of new keys and webhooks: yours alone, 0600."),
    ] = None,
    secrets_format: Annotated[
        Literal["json", "kubernetes"],
        typer.Option(help="kubernetes: the manifest of a Secret, for kubectl apply."),
    ] = "json",
    schema: Annotated[
        bool, typer.Option("--schema", help="Only print the JSON Schema of a file, for editors.")
    ] = False,
    yes: Yes = False,
    url: Url = None,
    data: Data = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Make a tenant what files of configuration say: projects, keys, organizations, webhooks.

    It shows the plan, field by field, and does it. Run again, it changes nothing; interrupted, it
    goes on. What a file does not say stays as it is, an object in it is meant as a whole, and
    nothing is deleted without --prune.
    """
    from tenantry.access import Target, find_access
    from tenantry.cli import output
    from tenantry.configuration.file import read_configuration
    from tenantry.configuration.models import json_schema
    from tenantry.configuration.plan import make_plan
    from tenantry.configuration.secrets_file import open_secrets_file
    from tenantry.connection import Api
    from tenantry.errors import CommandFailed, Misconfigured

    if schema:
        output.print_json(json_schema())
        return
    try:
        if not file:
            raise Misconfigured(
                "--file is missing", "Name a file with -f, or - for standard input."
            )
        wanted = read_configuration(file)
        with Api(find_access(Target(url, data, profile), "api_key")) as api:
            if not dry_run and secrets is not None:
                _finish_interrupted(api, open_secrets_file(secrets, secrets_format))
            state = _read(api, wanted)
            plan = make_plan(wanted, state, prune=prune)
            if not as_json:
                _print_plan(plan)
            if not dry_run:
                _require_file(secrets, plan)
                file_ = None if secrets is None else open_secrets_file(secrets, secrets_format)
                _apply(api, state, plan, file_, yes=yes)
    except Misconfigured as failed:
        if dry_run:  # 2 would say that there are changes
            raise CommandFailed(str(failed), failed.fix, code=failed.code) from None
        raise
    left = [change for change in plan if not (change.is_allowed or change.action == "delete")]
    if as_json:
        changes = [_as_json(change) for change in plan]
        output.print_json({"changes": changes, "applied": not dry_run})
    if dry_run:
        to_do = any(change.is_allowed for change in plan) or left
        raise typer.Exit(CHANGES if to_do else 0)
    raise typer.Exit(1 if left else 0)


def export(
    output_file: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file. Default: standard output.")
    ] = None,
    url: Url = None,
    data: Data = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Print what a tenant has as a file for `tenantry apply`; never a secret."""
    import sys

    from tenantry.access import Target, find_access
    from tenantry.atomic_file import replace_file
    from tenantry.cli import output
    from tenantry.configuration.state import PATHS, export_state, read_state
    from tenantry.connection import Api

    with Api(find_access(Target(url, data, profile), "api_key")) as api:
        state = read_state(api, tuple(PATHS), None)
    for project in state["projects"].values():
        for name, keys in project.keys.items():
            if len(keys) > 1:
                output.print_note(
                    f"{project.name} has {len(keys)} active keys named {name}: the newest is shown"
                )
    content = export_state(state)
    if as_json:
        output.print_json(content)
        return
    text = output.to_yaml(content)
    if output_file is None:
        sys.stdout.write(text)
        return
    with replace_file(output_file) as file:
        file.write(text.encode())


def _require_file(secrets: Path | None, plan: "Sequence[Change]") -> None:
    from tenantry.configuration.apply import makes_secrets
    from tenantry.errors import Misconfigured

    count = makes_secrets(plan)
    if count and secrets is None:
        raise Misconfigured(
            f"the plan makes {count} secrets, which are shown once",
            "Name a file for them with --secrets FILE. Nothing was applied.",
        )


def _finish_interrupted(api: "Api", secrets: "SecretsFile") -> None:
    from tenantry.cli import output
    from tenantry.configuration.apply import finish_interrupted

    if count := finish_interrupted(api, secrets):
        output.print_note(f"{count} secrets that an interrupted run had not kept are kept now.")


def _read(api: "Api", wanted: "Configuration") -> "State":
    from tenantry.configuration.state import PATHS, read_state

    kinds = tuple(kind for kind in PATHS if kind in wanted.model_fields_set)
    with_keys = {each.slug for each in wanted.projects if "api_keys" in each.model_fields_set}
    return read_state(api, kinds, with_keys)


def _apply(
    api: "Api",
    state: "State",
    plan: "Sequence[Change]",
    secrets: "SecretsFile | None",
    *,
    yes: bool,
) -> None:
    from tenantry.cli import output
    from tenantry.configuration.apply import Applier

    deleted = [each for each in plan if each.is_allowed and each.action in ("delete", "replace")]
    if deleted:
        _preview(api, deleted)
        names = ", ".join(each.label for each in deleted)
        confirm(f"Delete {names} at {api.address}? It cannot be undone.", yes=yes)
    projects = {name: each.id for name, each in state.get("projects", {}).items()}
    Applier(
        api, projects, secrets, lambda change: output.print_note(f"{change.label}: done", dim=True)
    ).run(plan)


def _preview(api: "Api", deleted: "Sequence[Change]") -> None:
    from tenantry.cli import output
    from tenantry.configuration.state import PATHS

    for change in deleted:
        if change.kind in PATHS and change.existing is not None:
            path = f"{PATHS[change.kind]}/{change.existing.id}"
            counts = api("DELETE", path, {"dry_run": "true"})["would_delete"]
            content = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
            output.print_note(f"{change.label} takes with it: {content or 'nothing'}")


def _print_plan(plan: "Sequence[Change]") -> None:
    from tenantry.cli import output

    for change in plan:
        if change.is_allowed:
            output.print_line(f"{_SIGNS[change.action]} {change.label}", _STYLES[change.action])
        elif change.action == "replace":
            output.print_line(f"! {change.label} differs: --prune replaces it", "red")
        else:
            output.print_line(f"? {change.label} is in no file: --prune deletes it", "dim")
        for name, (before, after) in change.fields.items():
            arrow = "" if change.action == "create" else f"{_text(before)} -> "
            output.print_line(f"    {name}: {arrow}{_text(after)}")
    count = dict.fromkeys(_SIGNS, 0) | {"left": 0}
    for change in plan:
        count[change.action if change.is_allowed else "left"] += 1
    output.print_line(
        f"{count['create']} to create, {count['update']} to update, {count['replace']} to replace, "
        f"{count['delete']} to delete, {count['left']} only in the tenant or different."
        if plan
        else "Nothing to do: the tenant is as the files say."
    )


def _text(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _as_json(change: "Change") -> dict[str, Any]:
    fields = {name: {"from": old, "to": new} for name, (old, new) in change.fields.items()}
    known = {"action": change.action, "kind": change.kind, "name": change.name}
    return {**known, "project": change.project, "allowed": change.is_allowed, "fields": fields}
