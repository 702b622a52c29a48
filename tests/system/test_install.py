"""`make` installs by itself: what is cut short is put right by the next `make`, whatever it is.

The Makefile and its script are the project's own; small packages stand for those of the lists.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from support.stack import eventually

ROOT = Path(__file__).parents[2]
LIMIT = 180.0
PARTS = 500
"""So many files that there is a moment between the first and the last."""
BUILDER = """
import os, shutil
def build_editable(folder, config_settings=None, metadata_directory=None):
    return os.path.basename(shutil.copy("packages/tenantry-1.0-py3-none-any.whl", folder))
"""
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "builder"\n'
COMMAND = """
import os, sys, library.last
def app():
    print("running", *sys.argv[1:], "from make" if "TENANTRY_FROM_MAKE" in os.environ else "")
"""
DRAWN = {f"library/part_{number}.py": "" for number in range(PARTS)}
TOOL = {f"pytest/part_{number}.py": "" for number in range(PARTS)}


def write_wheel(folder: Path, name: str, files: dict[str, str], scripts: str = "") -> str:
    """Its line in a list of requirements. The files come after what describes them."""
    described = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "entry_points.txt": scripts,
    }
    content = {f"{name}-1.0.dist-info/{file}": text for file, text in described.items()} | files
    record = f"{name}-1.0.dist-info/RECORD"
    file = folder / f"{name}-1.0-py3-none-any.whl"
    with ZipFile(file, "w") as archive:
        for path, text in content.items():
            archive.writestr(path, text)
        archive.writestr(record, "".join(f"{path},,\n" for path in [*content, record]))
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    packages = tmp_path / "packages"
    for folder in (packages, tmp_path / "deploy", tmp_path / "requirements"):
        folder.mkdir()
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "deploy" / "install.sh", tmp_path / "deploy")
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    command = "[console_scripts]\ntenantry = tenantry:app\n"
    write_wheel(packages, "tenantry", {"tenantry.py": COMMAND}, command)
    run = write_wheel(packages, "library", {**DRAWN, "library/last.py": ""})
    build = write_wheel(packages, "builder", {"builder.py": BUILDER})
    tool = write_wheel(packages, "pytest", {**TOOL, "pytest/__main__.py": "print('tested')"})
    for name, text in {"run": run, "build": build, "dev": run + build + tool}.items():
        (tmp_path / "requirements" / f"{name}.txt").write_text(text)
    return tmp_path


def start(project: Path, *arguments: str) -> subprocess.Popen[str]:
    only_these = {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(project / "packages"),
        "PIP_NO_COMPILE": "1",
    }
    return subprocess.Popen(
        ["make", f"PYTHON={sys.executable}", *arguments],
        cwd=project,
        env={**os.environ, **only_these},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def make(project: Path, *arguments: str) -> str:
    """What it prints."""
    code, printed = ended(start(project, *arguments))
    assert code == 0, printed
    return printed


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code, and what it printed."""
    try:
        printed, _ = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, printed


def kill_when(project: Path, target: str, pattern: str) -> None:
    """SIGKILL for make and all that it started, as soon as there is a file of that name."""
    process = start(project, target)
    try:
        eventually(pattern, lambda: next((project / ".venv").glob(pattern), None), LIMIT)
        assert process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize("moment", ["lib/*/*/pip", "lib/*/*/library", "lib/*/*/tenantry*"])
def test_a_first_run_that_was_killed_is_made_good_by_the_next(project: Path, moment: str) -> None:
    kill_when(project, "run", moment)
    assert "running dev" in make(project, "run")


@pytest.mark.parametrize("moment", ["lib/*/*/pytest-*", "lib/*/*/pytest/part_9.py"])
def test_a_first_test_that_was_killed_is_made_good_by_the_next(project: Path, moment: str) -> None:
    assert "Installing what tests" not in make(project, "run")
    kill_when(project, "test", moment)
    assert "Installing" not in make(project, "run")
    assert "tested" in make(project, "test")
    assert "Installing" not in make(project, "test")


def test_a_changed_list_is_installed_by_the_next_run_even_if_one_was_killed(project: Path) -> None:
    make(project, "run")
    line = write_wheel(project / "packages", "added", {**DRAWN, "library/new.py": ""})
    with (project / "requirements" / "run.txt").open("a") as requirements:
        requirements.write(line)
    kill_when(project, "run", "lib/*/*/added-*")
    assert "running dev" in make(project, "run")
    (_,) = project.glob(".venv/lib/*/site-packages/library/new.py")


def test_an_environment_whose_python_is_gone_is_made_anew(project: Path) -> None:
    make(project, "run")
    python = project / ".venv" / "bin" / "python"
    for link in python.parent.glob("python*"):
        link.unlink()
    python.symlink_to(project / "gone")
    assert "running dev" in make(project, "run")


def test_a_missing_venv_is_named_with_the_line_to_type(project: Path) -> None:
    python = project / "python"
    python.write_text(
        f'#!/bin/sh\ncase "$*" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    code, printed = ended(start(project, "run", f"PYTHON={python}"))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert code == 2
    assert f"    sudo apt install python{version}-venv\n" in printed
    assert not (project / ".venv").exists()


def test_what_is_no_fitting_python_is_named(project: Path) -> None:
    code, printed = ended(start(project, "env", "PYTHON=no-python"))
    assert code == 2
    assert "Python 3.11 to 3.14 is needed; found none as no-python" in printed


def test_make_tells_the_command_who_calls(project: Path) -> None:
    assert "running dev --port 1 from make" in make(project, "run", "ARGS=--port 1")
