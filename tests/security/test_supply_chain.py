"""What is installed is pinned, hashed, from the index alone, and there for a reason."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PINNED = re.compile(r"([A-Za-z0-9._-]+)==([^ ;\\]+)")


def requirements(lock: Path) -> list[str]:
    """One a line, its hashes with it."""
    joined = lock.read_text().replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def direct() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = (re.match(r"[A-Za-z0-9._-]+", each) for each in project["dependencies"])
    return {found[0].lower() for found in names if found}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_requirement_is_pinned_and_hashed(lock: Path) -> None:
    found = requirements(lock)
    assert found
    for line in found:
        assert PINNED.match(line), line
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", line), line
        assert "://" not in line, line


def test_every_dependency_is_there_for_a_reason() -> None:
    rows = re.findall(r"^\| ([a-z0-9-]+) \| (.{20,}) \|$", _page(), re.MULTILINE)
    assert {name for name, _ in rows} == direct()


def _page() -> str:
    return (ROOT / "docs" / "dependencies.md").read_text()


def test_every_dependency_is_in_the_lock() -> None:
    locked = {found[1].lower() for line in requirements(ROOT / "requirements" / "run.txt")
              if (found := PINNED.match(line))}  # fmt: skip
    assert direct() <= locked


def pins(lock: str) -> set[tuple[str, ...]]:
    """Each package with its version and hashes. A tool may need it on more machines."""
    lines = requirements(ROOT / "requirements" / lock)
    return {
        (PINNED.match(line)[0], *sorted(re.findall(r"--hash=(\S+)", line)))  # type: ignore[index]
        for line in lines
    }


@pytest.mark.parametrize("lock", ["run.txt", "build.txt"])
def test_what_runs_is_what_is_tested(lock: str) -> None:
    assert pins(lock) - pins("dev.txt") == set()
