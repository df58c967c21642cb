"""Write docs/streamd.schema.json, the JSON Schema of streamd.yaml, from streamd/config.py and streamd/config_shape.py.

Run it after a change to them; a test fails until the two agree.
"""

from __future__ import annotations

import json
from pathlib import Path

from streamd.config import json_schema

if __name__ == "__main__":
    file = Path(__file__).parents[1] / "docs" / "streamd.schema.json"
    file.write_text(json.dumps(json_schema(), indent=2) + "\n")
    print(f"wrote {file}")
