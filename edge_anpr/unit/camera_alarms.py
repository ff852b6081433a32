"""What the recogniser has to say of its camera: that it is lost, or that its picture is frozen."""

from __future__ import annotations

from edge_anpr.unit.alarms import Alarms
from edge_anpr.unit.capture import Capture

LOST, FROZEN = "camera-lost", "camera-frozen"


def look(alarms: Alarms, capture: Capture) -> None:
    """Raise and clear; from the main thread, which alone raises alarms."""
    for code, text in ((LOST, capture.lost), (FROZEN, capture.frozen)):
        if text is None:
            alarms.clear(code)
        else:
            alarms.raise_(code, text)
