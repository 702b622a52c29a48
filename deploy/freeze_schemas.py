"""Writes the schemas of events to docs/schemas/events. Accepts additions, refuses other changes."""

import json
import sys
from pathlib import Path

from contracts.catalogue import EVENT_TYPES
from contracts.evolution import differences, event_schema

FOLDER = Path(__file__).parents[1] / "docs" / "schemas" / "events"


def main() -> int:
    current = {name: event_schema(kind) for name, kind in EVENT_TYPES.items()}
    frozen = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
    changes = differences(frozen, current)
    for change in changes:
        print(f"{'+' if change.is_addition else '!'} {change.where}: {change.what}")
    if not all(change.is_addition for change in changes):
        print("Refused: subscribers rely on these. Add a field or a new type of event instead.")
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, schema in current.items():
        (FOLDER / f"{name}.json").write_text(
            json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        )
    print(f"{len(current)} schemas are in {FOLDER.relative_to(FOLDER.parents[2])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
