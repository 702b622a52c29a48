"""Where a command sends its requests, and with which key: both from one place.

An option comes before the environment, that before a running `tenantry dev` of this folder, and
that before the profile `default`.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tenantry.data_folder.running import find_running
from tenantry.errors import Misconfigured
from tenantry.installation import (
    DEFAULT_FOLDER,
    KEY_VARIABLES,
    api_url,
    check_url,
    credential,
)
from tenantry.profiles import DEFAULT, Profile, get_profile, load_profiles

Credential = Literal["none", "operator_key", "api_key", "either"]
_KINDS = {"either": ("operator_key", "api_key")}


@dataclass(frozen=True)
class Target:
    """What the options of a command say."""

    url: str | None = None
    data: Path | None = None
    profile: str | None = None


@dataclass(frozen=True)
class Access:
    """`key` is None for what needs none."""

    address: str
    key: str | None


def find_access(target: Target, kind: Credential) -> Access:
    """Raises Misconfigured, which names what is missing."""
    profile = _profile(target)
    if profile is not None:
        return Access(check_url(profile.url), _key_of(profile, kind))
    address = api_url(target.url, target.data)
    if kind == "none":
        return Access(address, None)
    kinds = _KINDS.get(kind, (kind,))
    for each in kinds[:-1]:
        try:
            return Access(address, credential(each, address, target.data))
        except Misconfigured:
            continue  # the other one may be there
    return Access(address, credential(kinds[-1], address, target.data))


def _profile(target: Target) -> Profile | None:
    """The one that is named; else the default one, if nothing else says where to go."""
    if target.url is not None or target.data is not None:
        if target.profile is not None:
            raise Misconfigured(
                "--profile says where to go, as --url and --data do", "Give one of them."
            )
        return None
    name = target.profile or os.environ.get("TENANTRY_PROFILE")
    if name:
        return get_profile(name)
    if any(map(os.environ.get, ("TENANTRY_URL", *KEY_VARIABLES.values()))):
        return None
    if find_running(DEFAULT_FOLDER) is not None:
        return None
    return load_profiles().get(DEFAULT)


def _key_of(profile: Profile, kind: Credential) -> str | None:
    if kind == "none":
        return None
    kinds = _KINDS.get(kind, (kind,))
    for each in kinds:
        key: str | None = getattr(profile, each)
        if key:
            return key
    word = " or ".join(each.replace("_", " ") for each in kinds)
    raise Misconfigured(
        f"the profile of {profile.url} has no {word}",
        f"Run `tenantry login --url {profile.url}` with such a key, or name another --profile.",
    )
