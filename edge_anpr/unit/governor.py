"""Heat and voltage: fewer looks before the board lowers its clock by itself, and an alarm where that is not enough."""

from __future__ import annotations

import time
from pathlib import Path

from edge_anpr.unit.alarms import Alarms

HOT, UNDERVOLTAGE = "hot", "undervoltage"
# From so far below the limit on, the rate falls in a line to the least that still reads slow traffic.
ROOM_C, LEAST_RATE = 12.0, 0.25
# Where the kernel names no temperature at which it lowers the clock: a Pi 5 does from 80 degrees on.
USUAL_LIMIT_C = 80.0
EVERY_S = 5.0
# Of all that a board measures (batteries, disks, a zone that is never filled) the processor's.
_PROCESSOR = ("cpu", "soc", "pkg", "gpu")


class Governor:
    """Reads what the kernel tells under ``sysfs``; ``rate`` is the share of the usual looks, 1 where it tells nothing.

    ``temperature_c`` is the hottest of the processor's zones, None without one.
    """

    def __init__(self, alarms: Alarms, sysfs: Path = Path("/sys")) -> None:
        self._alarms = alarms
        self._zones = [zone for zone in sorted(sysfs.glob("class/thermal/thermal_zone*")) if _is_processor(zone)]
        self._limits_c = [_limit_c(zone) for zone in self._zones]
        # The Pi's firmware reports by its hwmon that its supply has sagged.
        self._voltages = sorted(sysfs.glob("class/hwmon/hwmon*/in0_lcrit_alarm"))
        self._again_s = 0.0
        self.temperature_c: float | None = None
        self.rate = 1.0

    def look(self) -> None:
        """Read anew, if it is time; raise and clear alarms."""
        if time.monotonic() < self._again_s:
            return
        self._again_s = time.monotonic() + EVERY_S
        told = [(value / 1e3, limit) for zone, limit in zip(self._zones, self._limits_c, strict=True)
                if (value := _number(zone / "temp")) is not None]  # fmt: skip
        self.temperature_c = max((temperature for temperature, _ in told), default=None)
        least_room_c = min((limit - temperature for temperature, limit in told), default=ROOM_C)
        self.rate = min(max(least_room_c / ROOM_C, LEAST_RATE), 1.0)
        if least_room_c <= 0:
            self._alarms.raise_(HOT, "the processor is at its limit, and looks a quarter as often; give the box air")
        elif least_room_c > ROOM_C / 2:
            self._alarms.clear(HOT)
        if any(_number(voltage) for voltage in self._voltages):
            self.rate = min(self.rate, 0.5)
            self._alarms.raise_(UNDERVOLTAGE, "the board's supply is too weak: another power supply, a thicker cable")
        else:
            self._alarms.clear(UNDERVOLTAGE)


def _is_processor(zone: Path) -> bool:
    try:
        return any(word in (zone / "type").read_text("ascii").lower() for word in _PROCESSOR)
    except (OSError, ValueError):
        return False


def _limit_c(zone: Path) -> float:
    """Where the kernel begins to lower the clock: the zone's first passive trip point that means anything."""
    found = []
    for kind in zone.glob("trip_point_*_type"):
        try:
            passive = kind.read_text("ascii").strip() == "passive"
        except (OSError, ValueError):
            continue
        limit = _number(kind.with_name(kind.name.replace("_type", "_temp")))
        if passive and limit is not None and 50_000 <= limit <= 120_000:
            found.append(limit / 1e3)
    return min(found, default=USUAL_LIMIT_C)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):  # a zone that is switched off gives an error when it is read
        return None
