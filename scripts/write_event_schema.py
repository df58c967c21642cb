"""Write docs/events.schema.json, the JSON Schema of every message streamd publishes, from streamd/events.py.

Run it after a change to streamd/events.py; a test fails until the two agree.
"""

from __future__ import annotations

import json
from pathlib import Path

from streamd.events import json_schema

if __name__ == "__main__":
    file = Path(__file__).parents[1] / "docs" / "events.schema.json"
    file.write_text(json.dumps(json_schema(), indent=2) + "\n")
    print(f"wrote {file}")
