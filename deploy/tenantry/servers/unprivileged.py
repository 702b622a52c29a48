"""PostgreSQL refuses to run as root: then it runs as `nobody`, and no folder is opened to anybody.

The process keeps one capability, to pass folders that are closed to others (the data folder's
parents, a virtual environment below /root): reading if it can be had, else the wider one.
"""

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

from tenantry.problems import CannotStart
from tenantry.process import RunAs

USER = "nobody"
CAPABILITIES = ("dac_read_search", "dac_override")


def run_as_for(folder: Path, program: Path, death_signal: signal.Signals) -> RunAs:
    """How `program` can run on `folder`, which is given to its user. Raises CannotStart."""
    if os.geteuid() != 0:
        return RunAs()
    user = pwd.getpwnam(USER)
    _give(folder, user.pw_uid, user.pw_gid)
    setpriv = shutil.which("setpriv")
    for capability in CAPABILITIES if setpriv else ():
        wrapper = (
            str(setpriv),
            f"--reuid={user.pw_uid}",
            f"--regid={user.pw_gid}",
            "--clear-groups",
            f"--inh-caps=-all,+{capability}",
            f"--ambient-caps=-all,+{capability}",
            # Dropping the user id forgets the parent-death signal, so it is asked for after that.
            f"--pdeathsig={death_signal.name.removeprefix('SIG')}",
        )
        if (
            subprocess.run(
                [*wrapper, str(program), "--version"], capture_output=True, check=False
            ).returncode
            == 0
        ):
            return RunAs(wrapper=wrapper)
    return _plainly(folder, program, user)


def _plainly(folder: Path, program: Path, user: pwd.struct_passwd) -> RunAs:
    for needed, probe in (
        (program, [str(program), "--version"]),
        (folder, ["/bin/ls", str(folder)]),
    ):
        try:
            subprocess.run(
                probe,
                capture_output=True,
                check=True,
                cwd="/",
                user=user.pw_uid,
                group=user.pw_gid,
                extra_groups=[],
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise CannotStart(
                f"PostgreSQL does not run as root, and the user {USER} cannot reach {needed}: "
                "run as an ordinary user, or choose a folder that is open to others with --data"
            ) from error
    return RunAs(user=user.pw_uid, group=user.pw_gid)


def _give(folder: Path, uid: int, gid: int) -> None:
    """Make the folder and all in it the user's; it may come from a start as another user."""
    if folder.stat().st_uid == uid:
        return
    for path, _, files in os.walk(folder, topdown=False):
        for name in [*files, "."]:
            os.chown(Path(path, name), uid, gid, follow_symlinks=False)
