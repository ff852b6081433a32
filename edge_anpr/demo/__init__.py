"""The demo's clip, list and config. The plates in them were never issued."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


@contextmanager
def prepared() -> Iterator[Path]:
    """The demo's config with an outbox in a temporary folder, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="edge-anpr-demo-") as state:
        # A JSON string is a YAML string, whatever stands in the path.
        text = re.sub(
            r"(?<=path: |    - )(?!/)\S+",
            lambda name: json.dumps(str(FOLDER / name[0])),
            (FOLDER / "config.yaml").read_text(),
        )
        config = Path(state) / "config.yaml"
        config.write_text(text)
        yield config
