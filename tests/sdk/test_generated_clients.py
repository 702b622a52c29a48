"""Clients that others' generators make of the OpenAPI document compile.

`make sdk-test` runs it: the first time it fetches the generators, which needs a registry of npm
and one of Maven.
"""

from pathlib import Path

import pytest
from sdk.conftest import HERE, JAVA, NODE
from support.tools import run

STRICT = ("--noEmit", "--strict", "--target", "es2022", "--module", "preserve")


def generate(generator: Path, documents: Path, language: str, folder: Path, **options: str) -> None:
    properties = ",".join(f"{name}={value}" for name, value in options.items())
    more = [f"--additional-properties={properties}"] if options else []
    document = documents / "openapi.json"
    run("java", "-jar", generator, "generate", "--input-spec", document,
        "--generator-name", language, "--output", folder, *more, cwd=documents)  # fmt: skip


@pytest.mark.tools(*NODE)
def test_the_types_of_openapi_typescript_compile(
    documents: Path, packages: Path, tmp_path: Path
) -> None:
    tools = packages / "node_modules" / ".bin"
    (tmp_path / "node_modules").symlink_to(packages / "node_modules")
    (tmp_path / "use_types.ts").write_bytes((HERE / "use_types.ts").read_bytes())
    run(tools / "openapi-typescript", documents / "openapi.json", "--output", "types.ts",
        cwd=tmp_path)  # fmt: skip
    run(tools / "tsc", *STRICT, "use_types.ts", cwd=tmp_path)


@pytest.mark.tools(*NODE, *JAVA)
def test_the_typescript_client_compiles(
    documents: Path, packages: Path, generator: Path, tmp_path: Path
) -> None:
    generate(generator, documents, "typescript-fetch", tmp_path)
    run(packages / "node_modules" / ".bin" / "tsc", *STRICT, "index.ts", cwd=tmp_path)


@pytest.mark.tools("go", *JAVA)
def test_the_go_client_compiles(documents: Path, generator: Path, tmp_path: Path) -> None:
    generate(generator, documents, "go", tmp_path, packageName="tenantry")
    run("go", "build", "./...", cwd=tmp_path)


@pytest.mark.tools(*JAVA)
@pytest.mark.parametrize("library", ["okhttp-gson", "native"])
def test_the_java_client_compiles(
    library: str, documents: Path, generator: Path, tmp_path: Path
) -> None:
    generate(generator, documents, "java", tmp_path, library=library)
    run("mvn", "--quiet", "--batch-mode", "compile", cwd=tmp_path)
