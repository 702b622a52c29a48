"""Every mistake ends a command with a sentence that names the fix, and with its exit code."""

from pathlib import Path

import pytest
from support.stack import tenantry


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "said"),
    [
        (("tenants", "list"), {}, 2, "TENANTRY_OPERATOR_KEY"),
        (("audit", "export"), {}, 2, "TENANTRY_API_KEY"),
        (("tenants", "list", "--url=ftp://x"), {"TENANTRY_OPERATOR_KEY": "k"}, 2, "http://"),
        (("tenants", "list", "--url=http://[::1]:1"), {"TENANTRY_OPERATOR_KEY": "k"}, 1, "--url"),
        (("tenants", "list", "--data=/nowhere"), {}, 2, "--data"),
        (("tenants", "list", "--nonsense"), {}, 2, "--help"),
        (("users", "import", "/nowhere.csv"), {}, 2, "may read"),
        (("audit", "verify"), {}, 2, "TENANTRY_AUDIT_DATABASE_URL"),
        (("audit", "verify", "--file=/dev/null", "--digest=x"), {}, 2, "hexadecimal"),
        (("audit", "verify", "--file=/dev/null", "--checkpoint=x"), {}, 2, "--key"),
        (("audit", "verify", "--checkpoint=x"), {}, 2, "--file"),
        (("events", "republish", "--since=soon"), {}, 2, "2h"),
        (("keys", "rewrap"), {}, 2, "TENANTRY_PROJECTS_ENCRYPTION_KEYS"),
        (("migrate",), {}, 2, "TENANTRY_IDENTITY_MIGRATION_URL"),
        (("bootstrap",), {}, 2, "TENANTRY_NATS_ADMIN_URL"),
        (("bootstrap",), {"TENANTRY_NATS_ADMIN_URL": "nats://127.0.0.1:1"}, 1, "JetStream"),
    ],
)  # fmt: skip
async def test_a_failure_names_the_way_out(
    arguments: tuple[str, ...], environment: dict[str, str], code: int, said: str
) -> None:
    ran = await tenantry(*arguments, **environment)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err


OPERATOR = {"TENANTRY_OPERATOR_KEY": "k", "TENANTRY_API_KEY": "k"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("events", "republish", "--since=0001-01-01T00:00:00+05:00"), 2, "is no time"),
        (("audit", "export", "--since=0001-01-01T00:00:00+05:00"), 2, "is no time"),
        (
            ("keys", "create", "web", "--name=x", "--expires-at=9999-12-31T23:59:59-05:00"),
            2,
            "is no time",
        ),
        (("tenants", "list", "--url=http://127.0.0.1:99999"), 2, "is no URL"),
        (("tenants", "list", "--url=http://127.0.0.1:x"), 2, "is no URL"),
        (("tenants", "list", "--url=http://[::1"), 2, "is no URL"),
        (("tenants", "list", "--url=http://a..b"), 2, "is no URL"),
        (("doctor", "--url=http://[::1"), 1, "is no URL"),
        (("tenants", "list", "--url=http://nohost.invalid"), 1, "no answer from"),
        (("welcome", "--keep=folder"), 2, "Is a directory"),
        (("welcome", "--keep=binary"), 2, "not UTF-8"),
        (("dev", "--ready-file=folder"), 1, "is a folder"),
    ],
)
async def test_an_ordinary_mistake_is_not_unforeseen(
    tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary").write_bytes(b"\xff")
    ran = await tenantry(*arguments, folder=tmp_path, **OPERATOR)
    assert ran.code == code, ran
    assert said in ran.err + ran.out
    assert "TENANTRY_TRACEBACK" not in ran.err
