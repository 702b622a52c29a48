"""What `tenantry users import` promises: nothing twice, nothing lost, bad lines with reasons."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from support.api import Api, new_tenant
from support.stack import Ran, Stack, tenantry
from support.waiting import until


def access(api: Api) -> dict[str, str]:
    return {"TENANTRY_URL": api.url, "TENANTRY_API_KEY": str(api.key)}


async def imported(api: Api, file: Path, *options: str) -> Ran:
    return await tenantry("users", "import", str(file), "--json", *options, **access(api))


async def total(api: Api) -> int:
    answer = await api("GET", "/v1/admin/users?limit=1")
    count: int = answer.body["pagination"]["total"]
    return count


def many(folder: Path, count: int) -> Path:
    file = folder / "users.ndjson"
    file.write_text("".join(f'{{"email": "u{n}@example.com"}}\n' for n in range(count)))
    return file


def rejected(file: Path) -> list[dict[str, Any]]:
    lines = file.with_name(file.name + ".rejected.ndjson").read_text().splitlines()
    return [json.loads(line) for line in lines]


async def test_bad_lines_fail_alone_with_their_reason(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "users.ndjson"
    file.write_text(
        '{"email": "ada@example.com", "metadata": {"plan": "pro"}}\n'
        "\n"
        '{"email": "ADA@example.com"}\n'
        "no json\n"
        '{"email": "bob@example.com"}\n'
    )
    ran = await imported(api, file)
    assert ran.code == 1
    told = {"created": 2, "rejected": 2, "replayed": 0, "rejected_file": f"{file}.rejected.ndjson"}
    assert ran.json == told
    bad = [(each["line"], each["code"], each["input"]) for each in rejected(file)]
    assert bad == [
        (3, "email_taken", {"email": "ADA@example.com"}),
        (4, "malformed_json", "no json"),
    ]
    assert await total(api) == 2
    assert {path.name for path in os.scandir(tmp_path)} == {
        file.name,
        f"{file.name}.rejected.ndjson",
    }


async def test_csv_with_a_header_is_read_as_users(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_text(
        "\ufeffemail,name,email_verified,external_id,metadata.plan\n"
        'ada@example.com,"Lovelace, Ada",true,7,pro\n'
        "bob@example.com,,,,\n"
        "eve@example.com,,perhaps,,\n"
    )
    ran = await imported(api, file)
    assert (ran.code, ran.json["created"]) == (1, 2)
    answer = await api("GET", "/v1/admin/users?email=ada@example.com")
    (ada,) = answer.body["users"]
    assert (ada["name"], ada["email_verified"]) == ("Lovelace, Ada", True)
    assert (ada["external_id"], ada["metadata"]) == ("7", {"plan": "pro"})
    (bad,) = rejected(file)
    assert (bad["line"], bad["errors"][0]["field"]) == (4, "email_verified")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("mail,name\na@example.com,A\n", "mail"),
        ("name\nA\n", "no email"),
        ("email,metadata,metadata.x\na@example.com,{},1\n", "metadata.x"),
    ],
)
async def test_a_csv_that_cannot_be_meant_is_not_begun(
    api: Api, tmp_path: Path, content: str, said: str
) -> None:
    file = tmp_path / "users.csv"
    file.write_text(content)
    ran = await imported(api, file)
    assert ran.code == 2
    assert said in ran.error["message"]
    assert await total(api) == 0


async def test_rows_of_a_csv_that_cannot_be_read_are_refused_alone(
    api: Api, tmp_path: Path
) -> None:
    file = tmp_path / "users.csv"
    rows = [f"u{number}@example.com,U".encode() for number in range(6_000)]
    rows += [
        b"short@example.com",
        b"latin@example.com,J\xfcrgen",
        b'"q"x@example.com,Q',
        b"z@x.test,Z",
    ]
    file.write_bytes(b"\xef\xbb\xbfemail,name\n" + b"\n".join(rows) + b"\n")
    ran = await imported(api, file)
    assert (ran.code, ran.json["created"], ran.json["rejected"]) == (1, 6_001, 3)
    assert [(each["line"], each["code"]) for each in rejected(file)] == [
        (number, "validation_failed") for number in (6_002, 6_003, 6_004)
    ]
    assert "UTF-8" in rejected(file)[1]["errors"][0]["message"]
    again = await imported(api, file)
    assert (again.json["replayed"], await total(api)) == (6_001, 6_001)


async def test_hostile_lines_are_refused_alone(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "users.ndjson"
    lines = [
        b'\xef\xbb\xbf{"email": "bom@example.com"}',
        b'{"email": "deep@example.com", "metadata": ' + b"[" * 60_000 + b"]" * 60_000 + b"}",
        b'{"email": "long@example.com", "name": "' + b"x" * (9 << 20) + b'"}',
        b'{"email": "nan@example.com", "metadata": {"x": NaN}}',
        b'{"email": "latin@example.com", "name": "J\xfcrgen"}',
        b'{"email": "last@example.com"}',
    ]
    file.write_bytes(b"\n".join(lines))
    ran = await imported(api, file)
    assert (ran.code, ran.json["created"]) == (1, 2), ran.err
    assert [each["line"] for each in rejected(file)] == [2, 3, 4, 5]
    assert all(each["errors"] for each in rejected(file))
    assert file.with_name(f"{file.name}.rejected.ndjson").stat().st_size < 64 * 1024
    assert await total(api) == 2


async def test_a_second_import_of_a_file_does_nothing_twice(api: Api, tmp_path: Path) -> None:
    file = many(tmp_path, 10)
    assert (await imported(api, file)).json["replayed"] == 0
    again = await imported(api, file)
    assert (again.code, again.json["created"], again.json["replayed"]) == (0, 10, 10)
    assert await total(api) == 10


async def begun(api: Api, file: Path) -> asyncio.subprocess.Process:
    """An import that has some lines behind it and some before it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tenantry", "users", "import", str(file)),
        env={**os.environ, **access(api)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )

    async def under_way() -> bool:
        assert process.returncode is None, "it was over before it was interrupted"
        return file.with_name(file.name + ".progress").exists()

    await until(under_way, 60)
    return process


async def test_an_interrupted_import_goes_on(stack: Stack, api: Api, tmp_path: Path) -> None:
    file = many(tmp_path, 20_000)
    with file.open("a") as end:
        end.write("no json\n")
    process = await begun(api, file)
    progress = tmp_path / "users.ndjson.progress"
    process.send_signal(signal.SIGINT)
    _, said = await process.communicate()
    assert process.returncode == 130, said
    assert b"run it again" in said
    so_far = json.loads(progress.read_text())["created"]
    assert 0 < so_far < 20_000

    other = await new_tenant(api.http, stack.url, stack.ready["operator_key"])
    refused = await imported(other, file)
    assert (refused.code, "was started for" in refused.error["message"]) == (2, True)
    whole = file.read_bytes()
    file.write_bytes(whole + b"{}\n")
    changed = await imported(api, file)
    assert (changed.code, "was changed" in changed.error["message"]) == (2, True)
    file.write_bytes(whole)

    done = await imported(api, file)
    assert (done.code, done.json["created"], done.json["rejected"]) == (1, 20_000, 1)
    assert [each["line"] for each in rejected(file)] == [20_001]
    assert await total(api) == 20_000
    assert not progress.exists()


async def test_an_import_outlives_the_death_of_the_edge(
    stack: Stack, api: Api, tmp_path: Path
) -> None:
    process = await begun(api, many(tmp_path, 20_000))
    pid = stack.kill("edge")
    out, err = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, err
    assert b"20,000 created" in out
    await stack.restarted("edge", pid)
    assert await total(api) == 20_000
