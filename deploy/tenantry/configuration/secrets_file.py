"""Secrets that the API shows once, kept in a file that its owner alone can read (0600).

What is about to be created is noted before the request, with its idempotency key: whoever was
interrupted asks again with the same key, and gets the same secret.
"""

import json
import os
import re
import shlex
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from tenantry.atomic_file import replace_file
from tenantry.errors import CommandFailed, Misconfigured

Format = Literal["json", "kubernetes"]
_ANNOTATION = "tenantry.dev/unfinished"
_NO_NAME = re.compile(r"[^-._a-zA-Z0-9]+")


@dataclass(frozen=True)
class Unfinished:
    """A request whose answer has not been kept yet."""

    path: str
    body: dict[str, Any]
    idempotency_key: str


@dataclass
class SecretsFile:
    """JSON: `{"secrets": {name: secret}, "unfinished": {...}}`, or the manifest of a Kubernetes
    Secret, which is JSON too. A secret that is there is never overwritten.
    """

    path: Path
    format: Format = "json"
    secrets: dict[str, str] = field(default_factory=dict)
    unfinished: dict[str, Unfinished] = field(default_factory=dict)

    def begin(self, name: str, path: str, body: dict[str, Any]) -> Unfinished:
        """Notes the request, before it is sent."""
        request = Unfinished(path, body, str(uuid4()))
        self.unfinished[name] = request
        self._save()
        return request

    def finish(self, name: str, secret: str) -> None:
        del self.unfinished[name]
        self.secrets[self._free_name(name)] = secret
        self._save()

    def give_up(self, name: str) -> None:
        """The request was refused: there is no secret to come."""
        del self.unfinished[name]
        self._save()

    def _free_name(self, name: str) -> str:
        """As the format takes it; numbered, if there is such a secret already."""
        plain = _NO_NAME.sub("-", name)
        number = 1
        free = plain
        while free in self.secrets:
            number += 1
            free = f"{plain}.{number}"
        return free

    def _save(self) -> None:
        unfinished = {name: vars(each) for name, each in self.unfinished.items()}
        content: dict[str, Any] = {"secrets": self.secrets, "unfinished": unfinished}
        if self.format == "kubernetes":
            content = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": _NO_NAME.sub("-", self.path.stem).lower(),
                    "annotations": {_ANNOTATION: json.dumps(unfinished)} if unfinished else {},
                },
                "type": "Opaque",
                "stringData": self.secrets,
            }
        with replace_file(self.path) as file:
            file.write(json.dumps(content, indent=2).encode() + b"\n")


def open_secrets_file(path: Path, format_: Format) -> SecretsFile:
    """What was kept before is kept on. Raises Misconfigured if others can read it."""
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = json.load(file)
    except FileNotFoundError:
        return SecretsFile(path, format_)
    except ValueError:
        raise _no_secrets_file(path) from None
    if mode & 0o077:
        quoted = shlex.quote(str(path))
        raise Misconfigured(f"others can read the secrets in {path}", f"Run `chmod 600 {quoted}`.")
    try:
        if format_ == "kubernetes":
            annotations = content["metadata"]["annotations"]
            secrets, noted = content["stringData"], json.loads(annotations.get(_ANNOTATION, "{}"))
        else:
            secrets, noted = content["secrets"], content["unfinished"]
        unfinished = {name: Unfinished(**each) for name, each in noted.items()}
    except (KeyError, TypeError, AttributeError, ValueError):
        raise _no_secrets_file(path) from None
    return SecretsFile(path, format_, dict(secrets), unfinished)


def _no_secrets_file(path: Path) -> CommandFailed:
    return Misconfigured(
        f"{path} is no file of --secrets in this format", "Name another file, or --secrets-format."
    )
