"""Accepts additions to the schemas of events and messages (docs/schemas); refuses other changes."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from contracts import catalogue  # noqa: F401 - registers all types of events
from contracts.evolution import FROZEN, Kind, differences, event_schema

SCHEMAS = Path(__file__).parents[1] / "docs" / "schemas"


def freeze(folder: Path, kinds: Mapping[str, Kind]) -> bool:
    """Writes the schemas of one folder; returns whether all that changed was added."""
    current = {name: event_schema(kind) for name, kind in kinds.items()}
    frozen = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    changes = differences(frozen, current)
    for change in changes:
        print(f"{'+' if change.is_addition else '!'} {change.where}: {change.what}")
    if not all(change.is_addition for change in changes):
        print("Refused: subscribers rely on these. Add a field or a new type instead.")
        return False
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in current.items():
        text = json.dumps(schema, indent=2, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n")
    print(f"{len(current)} schemas in {folder.relative_to(SCHEMAS.parents[1])}")
    return True


def main() -> int:
    done = [freeze(SCHEMAS / name, kinds) for name, kinds in FROZEN.items()]
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
