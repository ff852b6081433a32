"""A unit that was switched on: how soon it reads plates, and that hits arrive. First of those that share the unit."""

from __future__ import annotations

import pytest

from tests.system.container import Container, within
from tests.system.unit import LISTED, PUBLISHER, RECOGNISER, ControlRoom, moments, seconds

pytestmark = pytest.mark.system


def test_a_unit_boots_and_its_hits_reach_the_control_room(
    pole: Container, room: ControlRoom, figures: dict[str, object]
) -> None:
    within(lambda: {read for (read,) in room.records("SELECT read FROM hit")} == LISTED, 90)
    for name in (RECOGNISER, PUBLISHER):
        assert pole.show(name, "Type") == "notify"
        assert (pole.show(name, "ActiveState"), pole.show(name, "NRestarts")) == ("active", "0")
    seen, carried = moments(pole, RECOGNISER), moments(pole, PUBLISHER)
    blame = [line.rsplit(maxsplit=1) for line in pole.run("systemd-analyze", "blame").splitlines()]
    figures["boot"] = {
        "where": "a container on a shared x86 machine, nothing emulated",
        "container_until_all_is_started_s": round(pole.boot_s, 2),
        "recogniser_began_to_ready_s": round(seen["ready"] - seen["began"], 2),
        "recogniser_began_to_armed_s": round(seen["armed"] - seen["began"], 2),
        "publisher_began_to_ready_s": round(carried["ready"] - carried["began"], 2),
        "publisher_began_to_connected_s": round(carried["broker-connected"] - carried["began"], 2),
        "userspace_until_armed_s": round(seen["armed"] - userspace_s(pole), 2),
        "blame_s": {name: seconds(took) for took, name in blame[:8]},
        "critical_chain": pole.run("systemd-analyze", "critical-chain", "edge-anpr.target").splitlines()[3:],
    }


def userspace_s(pole: Container) -> float:
    """When this boot's systemd began, by the same clock."""
    return int(pole.run("systemctl", "show", "--value", "--property=UserspaceTimestampMonotonic")) / 1e6
