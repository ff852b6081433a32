"""The line that ``systemctl status`` shows of each process; never a plate, and of vehicles only what is rounded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from edge_anpr.unit.outbox import Depth


def recogniser(
    *,
    state: str,
    fps: float,
    list_in_force: str | None,
    last_hour: str,
    waiting: int,
    alarms: Sequence[str],
) -> str:
    """Of the process that sees plates."""
    armed = "DISARMED" if list_in_force is None else f"armed: {list_in_force}"
    return "; ".join((f"{state}, {fps:.0f} frames/s", armed, last_hour, f"{waiting} messages wait", *_alarms(alarms)))


def publisher(*, connected_s: float | None, why_not: str | None, depth: Depth, alarms: Sequence[str]) -> str:
    """Of the process on the network."""
    link = f"no broker: {why_not or 'connecting'}" if connected_s is None else f"connected for {age(connected_s)}"
    oldest = f", the oldest for {age(depth.oldest_s)}" if depth.hits and depth.oldest_s is not None else ""
    return "; ".join((f"{depth.hits} messages wait{oldest}", link, *_alarms(alarms)))


def a_list(name: str, version: int, valid_from: datetime, now: datetime) -> str:
    """A list, and how old it is, which nobody knows better than from the day it is valid from."""
    return f"list {name} version {version}, {age(max(timedelta(), now - valid_from).total_seconds())} old"


def passages(about: int | None, least: int) -> str:
    """The last whole hour's passages, as the hourly statistics tell them: rounded, and too few not at all."""
    return (
        f"fewer than {least} passages in the last hour" if about is None else f"about {about} passages in the last hour"
    )


def age(seconds: float) -> str:
    """Coarsely, so that a line that is shown anew at each change does not change for nothing."""
    for size_s, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size_s:
            return f"{seconds // size_s:.0f} {name}"
    return "a moment" if seconds < 60 else "a minute"


def _alarms(codes: Sequence[str]) -> list[str]:
    return [f"ALARM: {', '.join(codes)}"] if codes else []
