"""Does what a plan says, one change after another; whoever is interrupted runs it again.

A change that was made meanwhile by somebody else is not overwritten: the version must still be that
of the plan.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tenantry.configuration.plan import Change
from tenantry.configuration.secrets_file import SecretsFile
from tenantry.configuration.state import PATHS
from tenantry.connection import Api
from tenantry.errors import CommandFailed

_TRANSIENT_STATUS = (429, 503, 504)


@dataclass
class Applier:
    """`projects` has the ids of projects by slug: those that there are, and those that it makes."""

    api: Api
    projects: dict[str, str]
    secrets: SecretsFile | None
    report: Callable[[Change], None]

    def run(self, plan: Sequence[Change]) -> None:
        """All that is allowed. Raises CommandFailed, which names the change that was refused."""
        for change in plan:
            if not change.is_allowed:
                continue
            try:
                self._apply(change)
            except CommandFailed as failed:
                failed.args = (f"{change.label}: {failed}",)
                if failed.details.get("status") == 412:
                    failed.fix = "Somebody has changed it since the plan: run the command again."
                raise
            self.report(change)

    def _apply(self, change: Change) -> None:
        if change.action == "delete":
            assert change.existing is not None, "a plan deletes what there is"
            self._delete(change, change.existing.id)
        elif change.action == "update":
            assert change.existing is not None, "a plan updates what there is"
            path = f"{PATHS[change.kind]}/{change.existing.id}"
            self.api("PATCH", path, None, change.body, If_Match=f'"{change.existing.version}"')
        elif change.kind == "api_keys":
            self._secret_of(change, self._keys_path(change), change.body)
            if change.existing is not None:
                self._delete(change, change.existing.id)
        elif change.kind == "webhooks":
            self._create_webhook(change)
        else:
            made = self.api("POST", PATHS[change.kind], None, change.body)
            if change.kind == "projects":
                self.projects[change.name] = made["id"]

    def _create_webhook(self, change: Change) -> None:
        """A webhook is created active, and disabled then."""
        body = {name: value for name, value in change.body.items() if name != "status"}
        made = self._secret_of(change, PATHS["webhooks"], body)
        if change.body.get("status") == "disabled":
            self.api("PATCH", f"{PATHS['webhooks']}/{made['id']}", None, {"status": "disabled"})

    def _secret_of(self, change: Change, path: str, body: dict[str, Any]) -> Any:
        assert self.secrets is not None, "a plan that makes secrets is refused without a file"
        name = f"{change.project}.{change.name}" if change.project else change.name
        self.secrets.begin(name, path, body)
        return _create_with_secret(self.api, self.secrets, name)

    def _delete(self, change: Change, identifier: str) -> None:
        path = self._keys_path(change) if change.kind == "api_keys" else PATHS[change.kind]
        try:
            self.api("DELETE", f"{path}/{identifier}")
        except CommandFailed as failed:
            if failed.details.get("status") != 404:  # somebody else was first
                raise

    def _keys_path(self, change: Change) -> str:
        return f"{PATHS['projects']}/{self.projects[str(change.project)]}/api-keys"


def finish_interrupted(api: Api, secrets: SecretsFile) -> int:
    """Gets the secrets that an interrupted run has not kept; answers how many."""
    names = list(secrets.unfinished)
    for name in names:
        _create_with_secret(api, secrets, name)
    return len(names)


def _create_with_secret(api: Api, secrets: SecretsFile, name: str) -> Any:
    request = secrets.unfinished[name]
    try:
        made = api(
            "POST", request.path, None, request.body, Idempotency_Key=request.idempotency_key
        )
    except CommandFailed as failed:
        status = failed.details.get("status")
        if status is not None and status not in _TRANSIENT_STATUS:
            secrets.give_up(name)
        raise
    secrets.finish(name, made["secret"])
    return made


def makes_secrets(plan: Sequence[Change]) -> int:
    """How many secrets it will be shown."""
    return sum(
        change.is_allowed
        and change.kind in ("api_keys", "webhooks")
        and change.action in ("create", "replace")
        for change in plan
    )
