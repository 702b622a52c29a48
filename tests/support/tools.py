"""The tools of others that some targets of the Makefile run: fetched by these alone, and kept in
the user's cache, outside of the repository.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tenantry"


def cache_folder(target: str) -> Path:
    """Where the target keeps its tools from run to run."""
    return _CACHE / target


def skip_without_tools(items: list[pytest.Item], folder: Path, target: str) -> None:
    """Skips the tests of the folder if another target runs, or if a command of `tools` is missing:
    then it says that nothing was run.
    """
    for item in items:
        if not item.path.is_relative_to(folder):
            continue
        if f"TENANTRY_{target.replace('-', '_').upper()}" not in os.environ:
            item.add_marker(pytest.mark.skip(reason=f"`make {target}` runs it"))
        for marker in item.iter_markers("tools"):
            missing = [each for each in marker.args if shutil.which(each) is None]
            if missing:
                reason = f"NOTHING WAS RUN: no {', '.join(missing)}"
                item.add_marker(pytest.mark.skip(reason=reason))


def run(*command: str | Path, cwd: Path, seconds: int = 600, **environment: str) -> str:
    """What the command says; it must succeed."""
    done = subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-12_000:]
    return done.stdout
