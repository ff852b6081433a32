"""JSON as it is taken from others: each key once, and errors that quote nothing of it."""

from __future__ import annotations

import json
from typing import Any


class NotStrict(ValueError):
    """No JSON, or a key that stands twice in one object; the text says which."""


def loads(raw: bytes) -> Any:
    """The values in these bytes. Raises NotStrict."""
    try:
        return json.loads(raw, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        # The parser's own words may quote what it choked on.
        raise NotStrict(str(error) if isinstance(error, NotStrict) else "is not JSON") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise NotStrict("a key stands twice in one object")
    return values
