"""What is wrong with the unit now, for the publisher to tell: each alarm once, with its beginning, until it is over."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from edge_anpr.unit.clock import iso
from edge_anpr.unit.events import event

log = logging.getLogger(__name__)

SCHEMA = "anpr.alarm/1"


class Alarms:
    """Alarms by code, like ``list-refused``; ``tell`` gets all that stand, as JSON, whenever that changes."""

    def __init__(self, tell: Callable[[bytes], None]) -> None:
        self._tell = tell
        self._active: dict[str, tuple[str, str]] = {}
        self._publish()  # what stood before this start is over, or is raised again

    @property
    def codes(self) -> tuple[str, ...]:
        """Of all that stand."""
        return tuple(self._active)

    def raise_(self, code: str, text: str) -> None:
        """Say that something is wrong; the same again is not said twice. ``text`` never holds a plate."""
        since, before = self._active.get(code, (iso(datetime.now(UTC)), None))
        if before != text:
            self._active[code] = (since, text)
            log.error("%s: %s", code, text, extra=event(code))
            self._publish()

    def clear(self, code: str) -> None:
        """Say that it is over."""
        if self._active.pop(code, None) is not None:
            log.info("%s is over", code, extra=event(code, over=True))
            self._publish()

    def _publish(self) -> None:
        active = [{"code": code, "since": since, "text": text} for code, (since, text) in self._active.items()]
        self._tell(json.dumps({"schema": SCHEMA, "active": active}, separators=(",", ":")).encode())
