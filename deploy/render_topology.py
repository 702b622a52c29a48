"""Writes what follows from `contracts.topology` into the files that need it (`make topology`).

In a file that people write, the generated part stands between `<topology NAME>` and `</topology>`
in comments; JSON has none, so the names in the schema of the chart's values are set.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from contracts.topology import (
    EDGE_LISTENS,
    ERASURE_CONSUMER,
    SERVICES,
    STREAM,
    TOKEN_KEYS_CHANGED,
)

ROOT = Path(__file__).parents[1]
CHART = "deploy/helm/tenantry"
_REGION = re.compile(
    r"(?P<begin>^.*<topology (?P<name>[\w-]+)>.*\n)(?P<body>(?:.*\n)*?)(?P<end>^.*</topology>)",
    re.MULTILINE,
)

_SERVICE_VERBS = ("PING", "INFO", "STATS")
"""Of the NATS services protocol (ADR-32 of NATS)."""

Region = Callable[[], Iterator[str]]
REGIONS: dict[str, Region] = {}


def region(lines: Region) -> Region:
    """Registers the lines of the region that has the name of the function."""
    REGIONS[lines.__name__.replace("_", "-")] = lines
    return lines


@region
def nats_users() -> Iterator[str]:
    """What each service may publish and hear. A service answers requests in foreign inboxes by
    `allow_responses`, and in no other way.
    """
    for each in SERVICES:
        publish = [
            f"tenantry.events.{each.name}.>",
            f"tenantry.lifecycle.{each.name}.>",
            *(f"tenantry.rpc.{call}" for call in each.calls),
            "$JS.API.INFO",
            f"$JS.API.STREAM.INFO.{STREAM}",
            f"$JS.API.CONSUMER.INFO.{STREAM}.{each.name}",
            f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{each.name}",
            f"$JS.ACK.{STREAM}.{each.name}.>",
        ]
        subscribe = [
            f"_INBOX_{each.name}.>",
            f"tenantry.rpc.{each.name}.>",
            # Verb by verb: who may hear `$SRV.*` is let into `$SRV.>` as well.
            *(f"$SRV.{verb}" for verb in _SERVICE_VERBS),
            *(f"$SRV.{verb}.tenantry-{each.name}" for verb in _SERVICE_VERBS),
            *(f"$SRV.{verb}.tenantry-{each.name}.*" for verb in _SERVICE_VERBS),
        ]
        yield "    {"
        yield f"      user: {each.name}"
        yield f"      password: $TENANTRY_NATS_PASSWORD_{each.name.upper()}"
        yield "      permissions: {"
        yield "        publish: ["
        yield from (f'          "{subject}"' for subject in publish)
        yield "        ]"
        yield "        subscribe: ["
        yield from (f'          "{subject}"' for subject in subscribe)
        yield "        ]"
        yield "        allow_responses: true"
        yield "      }"
        yield "    }"


@region
def nats_edge() -> Iterator[str]:
    yield from (f'          "{subject}"' for subject in (*EDGE_LISTENS, TOKEN_KEYS_CHANGED))


@region
def nats_subscriber_denied() -> Iterator[str]:
    for name in (*(each.name for each in SERVICES), ERASURE_CONSUMER):
        yield f'            "$JS.API.CONSUMER.INFO.{STREAM}.{name}"'
        yield f'            "$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{name}"'
        yield f'            "$JS.ACK.{STREAM}.{name}.>"'


@region
def sql_passwords() -> Iterator[str]:
    for each in SERVICES:
        for role in (f"{each.name}_owner", each.name):
            yield f"\\getenv {role} TENANTRY_POSTGRES_PASSWORD_{role.upper()}"


@region
def sql_roles() -> Iterator[str]:
    roles = [role for each in SERVICES for role in (f"{each.name}_owner", each.name)]
    for role in roles:
        yield f"    ('{role}', :'{role}')" + (";" if role == roles[-1] else ",")


@region
def sql_databases() -> Iterator[str]:
    for each in SERVICES:
        yield ""
        if each.is_append_only:
            yield "-- Append-only: its migrations grant table by table, nothing comes by default."
        yield f"\\connect {each.name}"
        yield "CREATE EXTENSION IF NOT EXISTS pg_trgm;"
        yield "CREATE EXTENSION IF NOT EXISTS btree_gin;"
        yield "REVOKE CREATE ON SCHEMA public FROM PUBLIC;"
        if not each.is_append_only:
            yield f"ALTER DEFAULT PRIVILEGES FOR ROLE {each.name}_owner IN SCHEMA public"
            yield f"    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {each.name};"
            yield f"ALTER DEFAULT PRIVILEGES FOR ROLE {each.name}_owner IN SCHEMA public"
            yield f"    GRANT USAGE, SELECT ON SEQUENCES TO {each.name};"


@region
def compose_services() -> Iterator[str]:
    for each in SERVICES:
        networks = "inside, outside" if each.reaches_internet else "inside"
        yield f"  {each.name}:"
        yield "    <<: *ours"
        yield f"    image: tenantry/{each.name}"
        arguments = f"args: {{ SERVICE: {each.name} }}"
        yield f"    build: {{ context: ., dockerfile: deploy/Dockerfile, {arguments} }}"
        yield "    environment:"
        yield "      <<: *process"
        yield from (f"      {setting}" for setting in each.environment)
        source = f'"${{TENANTRY_SECRETS:-./secrets}}/{each.name}"'
        rights = "read_only: true, bind: { create_host_path: false }"
        yield "    volumes:"
        yield f"      - {{ type: bind, source: {source}, target: /run/secrets, {rights} }}"
        yield f"    networks: [{networks}]"
        yield "    depends_on: *prepared"
        yield ""


@region
def compose_healthy() -> Iterator[str]:
    yield from (f"      {each.name}: {{ condition: service_healthy }}" for each in SERVICES)


@region
def helm_version() -> Iterator[str]:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    yield f'appVersion: "{version[1]}"'


@region
def helm_services() -> Iterator[str]:
    for each in SERVICES:
        yield f"  {each.name}: {{ autoscaling: {{ maxReplicas: {each.max_replicas} }} }}"


@region
def helm_internet() -> Iterator[str]:
    names = ", ".join(each.name for each in SERVICES if each.reaches_internet)
    yield f"        values: [{names}]"


@region
def packages() -> Iterator[str]:
    yield from (f'    "services/{each.name}",' for each in SERVICES)


@region
def import_roots() -> Iterator[str]:
    yield from (f'    "{each.name}",' for each in SERVICES)


@region
def import_layer() -> Iterator[str]:
    yield f'    "edge | {" | ".join(each.name for each in SERVICES)}",'


@region
def docs_services() -> Iterator[str]:
    yield "| service | owns | consumes | calls |"
    yield "|---|---|---|---|"
    for each in SERVICES:
        consumed = "<br>".join(f"`{subject}`" for subject in each.consumes)
        calls = "<br>".join(f"`{call}`" for call in each.calls) or "none"
        yield f"| `{each.name}` | {each.summary} | {consumed} | {calls} |"


FILES = (
    "deploy/nats/nats.conf",
    "deploy/postgres/init.sql",
    "docker-compose.yml",
    f"{CHART}/Chart.yaml",
    f"{CHART}/values.yaml",
    f"{CHART}/templates/network.yaml",
    "pyproject.toml",
    "docs/architecture.md",
)
"""The files that have such parts."""


def render_schema(text: str) -> str:
    """The schema of the chart's values: a service that is not one is refused."""
    schema = json.loads(text)
    schema["properties"]["services"]["propertyNames"]["enum"] = [each.name for each in SERVICES]
    return json.dumps(schema, indent=2) + "\n"


def render(root: Path) -> dict[Path, str]:
    """Each file that has a generated part, with the text that it should have."""

    def replaced(found: re.Match[str]) -> str:
        body = "".join(f"{line}\n" for line in REGIONS[found["name"]]())
        return f"{found['begin']}{body}{found['end']}"

    texts = {root / name: _REGION.sub(replaced, (root / name).read_text()) for name in FILES}
    schema = root / CHART / "values.schema.json"
    return {**texts, schema: render_schema(schema.read_text())}


def main() -> int:
    for path, text in render(ROOT).items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
