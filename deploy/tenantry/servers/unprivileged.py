"""PostgreSQL refuses to run as root: then it runs as `nobody`, and no folder gets more rights.

The process keeps one capability, to enter folders that are closed to others (the data folder's
parents, a virtual environment below /root): the one for reading if possible, else the wider one.
"""

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

from tenantry.errors import CannotStart
from tenantry.processes.process import RunAs

USER = "nobody"
CAPABILITIES = ("dac_read_search", "dac_override")


def run_as_for(folder: Path, program: Path, death_signal: signal.Signals) -> RunAs:
    """How `program` can run on `folder`, whose owner it changes. Raises CannotStart."""
    if os.geteuid() != 0:
        return RunAs()
    user = pwd.getpwnam(USER)
    _change_owner(folder, user.pw_uid, user.pw_gid)
    setpriv = shutil.which("setpriv")
    for capability in CAPABILITIES if setpriv else ():
        wrapper = (
            str(setpriv),
            f"--reuid={user.pw_uid}",
            f"--regid={user.pw_gid}",
            "--clear-groups",
            "--no-new-privs",
            # Without this the capability would not count for access(2), with which the server's
            # programs find each other.
            "--securebits=+no_setuid_fixup",
            f"--inh-caps=-all,+{capability}",
            f"--ambient-caps=-all,+{capability}",
            # Dropping the user id forgets the parent-death signal, so it is asked for after that.
            f"--pdeathsig={death_signal.name.removeprefix('SIG')}",
        )
        if _succeeds([str(program), "--version"], RunAs(wrapper)):
            return RunAs(wrapper=wrapper)
    return _without_capability(folder, program, user)


def _without_capability(folder: Path, program: Path, user: pwd.struct_passwd) -> RunAs:
    """The user can enter the data folder then, but not read it."""
    folder.parent.chmod(0o711)
    run_as = RunAs(user=user.pw_uid, group=user.pw_gid)
    probes = {program: [str(program), "--version"], folder: ["/bin/ls", str(folder)]}
    for needed, probe in probes.items():
        if not _succeeds(probe, run_as):
            raise CannotStart(
                f"PostgreSQL does not run as root, and the user {USER} cannot reach {needed}",
                "run as an ordinary user, or choose a folder that others can enter with --data",
            )
    return run_as


def _succeeds(command: list[str], run_as: RunAs) -> bool:
    try:
        done = subprocess.run(
            [*run_as.wrapper, *command],
            capture_output=True,
            check=False,
            cwd="/",
            user=run_as.user,
            group=run_as.group,
            extra_groups=None if run_as.user is None else [],
        )
    except OSError:
        return False
    return done.returncode == 0


def _change_owner(folder: Path, uid: int, gid: int) -> None:
    """Of the folder and all in it: an earlier start may have been as another user."""
    if folder.stat().st_uid == uid:
        return
    for path, _, files in os.walk(folder, topdown=False):
        for name in [*files, "."]:
            os.chown(Path(path, name), uid, gid, follow_symlinks=False)
