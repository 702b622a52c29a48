"""Profiles: addresses and keys under a name, in one file that its owner alone can read.

A key is sent to the address of its own profile only. A file that others can read is refused.
"""

import json
import os
import shlex
import stat
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tenantry.errors import Misconfigured

DEFAULT = "default"


@dataclass(frozen=True)
class Profile:
    url: str
    api_key: str | None = None
    operator_key: str | None = None


def profiles_file() -> Path:
    """TENANTRY_PROFILES, else in the folder of the user's settings (XDG base directories)."""
    if named := os.environ.get("TENANTRY_PROFILES"):
        return Path(named)
    settings = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(settings) / "tenantry" / "profiles.json"


def load_profiles() -> dict[str, Profile]:
    """By name. Raises Misconfigured for a file that others can read, or that is none of ours."""
    path = profiles_file()
    try:
        with path.open(encoding="utf-8") as file:
            _refuse_readable(path, os.fstat(file.fileno()))
            content = json.load(file)
        return {name: Profile(**each) for name, each in content.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError):
        raise Misconfigured(
            f"{path} is no file of profiles",
            f"Remove it with `rm {shlex.quote(str(path))}` and run `tenantry login` again.",
        ) from None


def get_profile(name: str) -> Profile:
    profiles = load_profiles()
    if name in profiles:
        return profiles[name]
    known = f"There are: {', '.join(profiles)}." if profiles else "There is none yet."
    raise Misconfigured(
        f"there is no profile {name}",
        f"{known} `tenantry login --profile {shlex.quote(name)}` makes it.",
    )


def save_profile(name: str, url: str, kind: str, key: str) -> None:
    """Adds the key to the profile; a profile of another address is replaced."""
    profiles = load_profiles()
    profile = profiles.get(name)
    if profile is None or profile.url != url:
        profile = Profile(url)
    changes: dict[str, Any] = {kind: key}
    _save(profiles | {name: replace(profile, **changes)})


def delete_profile(name: str) -> None:
    get_profile(name)
    profiles = load_profiles()
    del profiles[name]
    _save(profiles)


def _save(profiles: dict[str, Profile]) -> None:
    from tenantry.atomic_file import write_json

    path = profiles_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_json(path, {name: asdict(profile) for name, profile in profiles.items()})


def _refuse_readable(path: Path, status: os.stat_result) -> None:
    quoted = shlex.quote(str(path))
    if status.st_uid != os.geteuid():
        raise Misconfigured(
            f"{path} belongs to another user", f"Run `rm {quoted}`, then `tenantry login`."
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise Misconfigured(
            f"others can read the keys in {path}",
            f"Run `chmod 600 {quoted}`, and rotate the keys if others have read them.",
        )
