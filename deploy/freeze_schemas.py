"""Accepts additions to the schemas of events: writes docs/schemas/events. Refuses other changes."""

import json
import sys
from pathlib import Path

from contracts.catalogue import EVENT_TYPES
from contracts.evolution import differences, event_schema

FOLDER = Path(__file__).parents[1] / "docs" / "schemas" / "events"


def main() -> int:
    now = {name: event_schema(kind) for name, kind in EVENT_TYPES.items()}
    frozen = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
    found = differences(frozen, now)
    for each in found:
        print(f"{'+' if each.is_addition else '!'} {each.where}: {each.what}")
    if not all(each.is_addition for each in found):
        print("Refused: others rely on these. Tell it by a new field, or by a new type.")
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, schema in now.items():
        (FOLDER / f"{name}.json").write_text(
            json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        )
    print(f"{len(now)} schemas stand in {FOLDER.relative_to(FOLDER.parents[2])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
