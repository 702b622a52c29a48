"""A backup file: a tar of the dump of each database, a manifest, and the checksum of each of them.

It is renamed to its place when it is whole. What is cut or altered is found before it is used. Of
the keys it has fingerprints only: they tell whether other keys are the same, and nothing else.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from tenantry.atomic_file import replace_file
from tenantry.errors import CommandFailed

FORMAT = 1
MANIFEST = "manifest.json"
CHECKSUMS = "SHA256SUMS"
"""As `sha256sum --check` reads it."""
BLOCK = 1024 * 1024

Report = Callable[[str], None]
"""Takes a sentence about how far it is."""


@dataclass(frozen=True)
class Dumped:
    """One database. `revision` is that of its schema; `server` the version of PostgreSQL, as a
    number; `settings` those of the database itself, which no dump has.
    """

    revision: str
    server: int
    settings: dict[str, str]


@dataclass(frozen=True)
class Manifest:
    """`made_at` is the moment of the dumps, which are `seconds_apart`; `keys` are fingerprints, by
    service and name of the key.
    """

    format: int
    version: str
    made_at: str
    seconds_apart: float
    databases: dict[str, Dumped]
    keys: dict[str, dict[str, str]]


def write_backup(file: Path, manifest: Manifest, dumps: dict[str, Path], report: Report) -> None:
    """Moves the dumps into the file. A dump is deleted as soon as it is in."""
    sums: dict[str, str] = {}
    with replace_file(file) as out, tarfile.open(fileobj=out, mode="w") as tar:
        for service, dump in dumps.items():
            report(f"{service}: {size_text(dump.stat().st_size)}")
            member = tarfile.TarInfo(f"{service}.dump")
            member.size = dump.stat().st_size
            with dump.open("rb") as content:
                digest = _Digesting(content)
                tar.addfile(member, digest)
            sums[member.name] = digest.hexdigest()
            dump.unlink()
        text = json.dumps(asdict(manifest), indent=2).encode() + b"\n"
        sums[MANIFEST] = hashlib.sha256(text).hexdigest()
        _add(tar, MANIFEST, text)
        _add(tar, CHECKSUMS, "".join(f"{sums[n]}  {n}\n" for n in sums).encode())


class BackupFile:
    """A backup whose content is as it was written. `id` differs for each backup."""

    def __init__(self, tar: tarfile.TarFile, manifest: Manifest, backup_id: str) -> None:
        self.manifest = manifest
        self.id = backup_id
        self._tar = tar

    def size(self, service: str) -> int:
        return self._tar.getmember(f"{service}.dump").size

    def blocks(self, service: str) -> Iterator[bytes]:
        """The dump of a service's database."""
        with _open(self._tar, f"{service}.dump") as content:
            while block := content.read(BLOCK):
                yield block


@contextmanager
def open_backup(file: Path, report: Report) -> Iterator[BackupFile]:
    """Raises CommandFailed for a file that is no backup, cut, altered, or of a later release."""
    with file.open("rb") as content:
        try:
            tar = tarfile.open(fileobj=content, mode="r:")  # noqa: SIM115 - closed below
        except tarfile.TarError:
            raise CommandFailed(
                f"{file} is no backup, or its beginning is damaged",
                "Name a file that `tenantry backup` has written.",
                code="no_backup",
            ) from None
        with tar:
            report(f"checking {size_text(file.stat().st_size)}")
            try:
                backup = BackupFile(tar, *_verified(tar))
            except (tarfile.TarError, EOFError, KeyError, ValueError, TypeError) as error:
                raise _damaged(file, error) from None
            yield backup


def _verified(tar: tarfile.TarFile) -> tuple[Manifest, str]:
    names = [member.name for member in tar.getmembers()]
    listed = _open(tar, CHECKSUMS).read()
    sums = dict(line.split("  ", 1)[::-1] for line in listed.decode().splitlines())
    if sorted(names) != sorted([*sums, CHECKSUMS]):
        raise ValueError("something is missing in it")
    for name, wanted in sums.items():
        with _open(tar, name) as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != wanted:  # type: ignore[arg-type]
                raise ValueError(f"{name} is not as it was written")
    read = json.loads(_open(tar, MANIFEST).read())
    if read["format"] > FORMAT:
        raise CommandFailed(
            f"the backup was made by a later release (version {read['version']})",
            "Restore it with that release.",
            code="newer_backup",
        )
    databases = {service: Dumped(**each) for service, each in read.pop("databases").items()}
    if {f"{service}.dump" for service in databases} | {MANIFEST} != set(sums):
        raise ValueError("a database is missing in it")
    return Manifest(databases=databases, **read), hashlib.sha256(listed).hexdigest()[:16]


def _damaged(file: Path, error: Exception) -> CommandFailed:
    return CommandFailed(
        f"{file} is damaged: {error}",
        "Nothing was restored. Take another copy of it, or another backup.",
        code="damaged_backup",
    )


def _open(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    content = tar.extractfile(name)
    if content is None:
        raise ValueError(f"{name} is no file in it")
    return content


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


class _Digesting(io.RawIOBase):
    """Computes the checksum of what is read through it."""

    def __init__(self, content: IO[bytes]) -> None:
        self._content = content
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = self._content.read(size)
        self._digest.update(block)
        return block

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def size_text(size: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
