"""The linters and parsers that others put before a document find no error in ours."""

from pathlib import Path

import pytest
from sdk.conftest import NODE
from support.tools import run

pytestmark = pytest.mark.tools(*NODE)


def test_redocly_finds_no_error(documents: Path, packages: Path) -> None:
    redocly = packages / "node_modules" / ".bin" / "redocly"
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    document = documents / "openapi.json"
    run(redocly, "lint", document, "--format", "stylish", cwd=documents, **quiet)


def test_spectral_finds_no_error(documents: Path, packages: Path) -> None:
    spectral = packages / "node_modules" / ".bin" / "spectral"
    run(spectral, "lint", documents / "openapi.json", "--ruleset", packages / "spectral.yaml",
        "--fail-severity", "error", "--display-only-failures", cwd=packages)  # fmt: skip


def test_the_parser_of_asyncapi_accepts_the_document(documents: Path, packages: Path) -> None:
    said = run("node", "parse_asyncapi.js", documents / "asyncapi.json", cwd=packages)
    assert said.strip().endswith("operations")
