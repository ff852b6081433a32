from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_anpr.unit import governor as module
from edge_anpr.unit.alarms import Alarms
from edge_anpr.unit.governor import LEAST_RATE, Governor
from edge_anpr.unit.health import Counters


class Board:
    """A made-up /sys, and the governor that reads it."""

    def __init__(self, sysfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "EVERY_S", 0.0)
        self.sysfs, self.told = sysfs, list[bytes]()

    def write(self, place: str, text: str) -> None:
        (self.sysfs / place).parent.mkdir(parents=True, exist_ok=True)
        (self.sysfs / place).write_text(text)

    def zone(self, number: int, kind: str, temperature_c: float) -> None:
        self.write(f"class/thermal/thermal_zone{number}/type", kind + "\n")
        self.write(f"class/thermal/thermal_zone{number}/temp", f"{round(temperature_c * 1000)}\n")

    def governor(self) -> Governor:
        return Governor(Alarms(self.told.append), self.sysfs)

    @property
    def alarms(self) -> list[str]:
        return [alarm["code"] for alarm in json.loads(self.told[-1])["active"]]


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    return Board(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("temperature_c", "rate"),
    [(40, 1.0), (68, 1.0), (74, 0.5), (77.1, LEAST_RATE), (79.9, LEAST_RATE), (95, LEAST_RATE)],
)
def test_the_hotter_the_fewer_looks(board: Board, temperature_c: float, rate: float) -> None:
    board.zone(0, "cpu-thermal", temperature_c)
    governor = board.governor()
    governor.look()
    assert governor.rate == pytest.approx(rate, abs=0.01)
    assert governor.temperature_c == temperature_c
    assert board.alarms == (["hot"] if temperature_c >= 80 else [])


def test_the_alarm_stays_until_it_has_cooled_down_in_earnest(board: Board) -> None:
    board.zone(0, "cpu-thermal", 81)
    governor = board.governor()
    for temperature_c, alarms in ((81, ["hot"]), (79, ["hot"]), (75, ["hot"]), (73, [])):
        board.zone(0, "cpu-thermal", temperature_c)
        governor.look()
        assert board.alarms == alarms, temperature_c


def test_the_boards_own_limit_counts_and_other_zones_do_not(board: Board) -> None:
    board.zone(0, "battery", 99)
    board.zone(1, "CPU-therm", 85)
    board.write("class/thermal/thermal_zone1/trip_point_0_type", "critical\n")
    board.write("class/thermal/thermal_zone1/trip_point_0_temp", "60000\n")
    board.write("class/thermal/thermal_zone1/trip_point_1_type", "passive\n")
    board.write("class/thermal/thermal_zone1/trip_point_1_temp", "97000\n")
    governor = board.governor()
    governor.look()
    assert (governor.rate, governor.temperature_c, board.alarms) == (1.0, 85, [])


def test_a_weak_supply_halves_the_rate_and_is_told(board: Board) -> None:
    board.zone(0, "cpu-thermal", 50)
    board.write("class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
    governor = board.governor()
    governor.look()
    assert (governor.rate, board.alarms) == (0.5, ["undervoltage"])
    health = json.loads(Counters().tell(0, governor, armed=True))
    assert (health["temperature_c"], health["rate"]) == (50, 0.5)
    board.write("class/hwmon/hwmon1/in0_lcrit_alarm", "0\n")
    governor.look()
    assert (governor.rate, board.alarms) == (1.0, [])


def test_a_board_that_tells_nothing_is_not_governed(board: Board) -> None:
    board.zone(0, "cpu-thermal", 90)
    (board.sysfs / "class/thermal/thermal_zone0/temp").write_text("")
    governor = board.governor()
    governor.look()
    assert (governor.rate, governor.temperature_c, board.alarms) == (1.0, None, [])
