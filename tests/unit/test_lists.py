"""The list in force: the previous one stays when a new one is refused, and without one the unit is disarmed."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_anpr.datatypes import MatchClass, PlateRead
from edge_anpr.errors import Unusable
from edge_anpr.plates.text import encode
from edge_anpr.unit.alarms import Alarms
from edge_anpr.unit.lists import Limits, ListFile, Lists
from edge_anpr.watch import envelope
from edge_anpr.watch.opening import Trust
from edge_anpr.watch.ratchet import Ratchet
from tests.watch.lists import END, TRUSTED, at, signed

LIMITS = Limits(most_entries=3, false_hits_per_day=1000, passages_per_day=5000, most_hits_percent=10)


class Unit:
    def __init__(self, folder: Path, limits: Limits = LIMITS) -> None:
        self.told: list[dict[str, Any]] = []
        self.changes = 0
        self.alarms = Alarms(lambda text: self.told.append(json.loads(text)))
        self.lists = Lists(
            "pole-07", Trust(TRUSTED), Ratchet(folder / "ratchet.json"), self.alarms, limits, self._changed
        )

    def _changed(self) -> None:
        self.changes += 1

    @property
    def version(self) -> int | None:
        return self.lists.armed.header.version if self.lists.armed else None

    @property
    def codes(self) -> str:
        return " ".join(alarm["code"] for alarm in self.told[-1]["active"])


@pytest.fixture(scope="module")
def armed(tmp_path_factory: pytest.TempPathFactory) -> Unit:
    unit = Unit(tmp_path_factory.mktemp("unit"))
    assert unit.lists.offer(RAW, at(), "list")
    return unit


RAW = signed("QA12CE", version=5)
STRANGER, _ = envelope.new_pair("stranger")


def test_before_any_list_comes_the_unit_is_disarmed_and_says_so(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    unit.lists.tick(0)
    unit.lists.tick(1)
    assert unit.version is None
    assert [[alarm["code"] for alarm in told["active"]] for told in unit.told] == [[], ["disarmed"]]
    unit.lists.offer(RAW, at(), "list")
    assert [unit.version, unit.changes] == [5, 1]
    assert unit.told[-1]["active"] == []


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(signed("QA12CE", version=4), id="older version"),
        pytest.param(signed("KU99QX", version=5), id="another list of the same version"),
        pytest.param(signed("QA12CE", version=6, units=("pole-08",)), id="another unit"),
        pytest.param(signed("QA12CE", version=6, secret=STRANGER), id="unknown key"),
        pytest.param(signed("QA12CE", version=6, valid_from=END), id="not valid yet"),
        pytest.param(signed("A1", "A2", "A3", "A4", version=6), id="too many entries"),
        pytest.param(RAW[:-1], id="cut off"),
        pytest.param(b"", id="empty"),
    ],
)
def test_what_is_refused_leaves_the_list_in_force_and_one_alarm(armed: Unit, raw: bytes) -> None:
    before = armed.lists.armed
    for _ in range(3):
        assert not armed.lists.offer(raw, at(), "list")
    assert armed.lists.armed is before
    assert armed.codes == "list-refused"
    assert "QA12CE" not in json.dumps(armed.told)
    assert armed.lists.offer(RAW, at(), "list")
    assert armed.codes == ""


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bit=st.integers(0, len(RAW) * 8 - 1))
def test_no_flipped_bit_gets_past_the_process_that_opens_lists(armed: Unit, bit: int) -> None:
    before, flipped = armed.lists.armed, bytearray(RAW)
    flipped[bit // 8] ^= 1 << bit % 8
    assert not armed.lists.offer(bytes(flipped), at(), "list")
    assert armed.lists.armed is before
    assert armed.codes == "list-refused"


def test_when_the_list_ends_by_the_monotonic_clock_the_unit_disarms(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    moment = at(END - timedelta(seconds=60))
    unit.lists.offer(RAW, moment, "list")
    unit.lists.tick(moment.monotonic_ns + 59_000_000_000)
    assert unit.version == 5
    unit.lists.tick(moment.monotonic_ns + 60_000_000_001)
    assert unit.version is None
    assert unit.codes == "disarmed"
    assert "has ended" in unit.lists.why_disarmed


def test_a_list_that_was_withdrawn_is_out_of_force_at_once_and_for_good(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    unit.lists.offer(RAW, at(), "list")
    unit.lists.withdraw("other", 5)
    unit.lists.withdraw("test", 4)
    assert unit.version == 5
    unit.lists.withdraw("test", 5)
    assert unit.version is None
    assert not unit.lists.offer(RAW, at(), "list")
    again = Unit(tmp_path)
    assert not again.lists.offer(RAW, at(), "list")
    assert again.lists.offer(signed("QA12CE", version=6), at(), "list")


def test_a_breaker_that_trips_is_an_alarm_until_another_list_comes(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    unit.lists.offer(RAW, at(), "list")
    assert unit.lists.armed
    for _ in range(30):
        unit.lists.armed.breaker.note(0, hit=True)
    unit.lists.tick(0)
    assert unit.codes == "breaker"
    unit.lists.offer(RAW, at(), "list")
    assert unit.lists.armed.breaker.tripped
    assert unit.codes == "breaker"
    unit.lists.offer(signed("QA12CE", version=6), at(), "list")
    assert unit.codes == ""
    assert not unit.lists.armed.breaker.tripped


def test_a_list_that_would_make_too_many_false_hits_is_refused(tmp_path: Path) -> None:
    for most, taken in ((0.5, False), (50, True)):
        unit = Unit(tmp_path, replace(LIMITS, passages_per_day=1e12, false_hits_per_day=most))
        assert unit.lists.offer(RAW, at(), "list") is taken
        assert ("false hits a day at 1e+12 passages" in str(unit.told)) is not taken


def test_only_the_classes_that_are_matched_count(tmp_path: Path) -> None:
    expected: list[float] = []
    for step in MatchClass:
        unit = Unit(tmp_path, replace(LIMITS, match=step))
        unit.lists.offer(RAW, at(), "list")
        assert unit.lists.armed
        assert list(unit.lists.armed.expected) == list(MatchClass)[: len(expected) + 1]
        expected.append(sum(unit.lists.armed.expected.values()))
    assert 0 < expected[0] <= expected[1] < expected[2]


def test_a_file_is_taken_when_it_changes_and_when_it_goes_the_list_stays(tmp_path: Path) -> None:
    unit, path = Unit(tmp_path), tmp_path / "list.signed"
    file = ListFile(path)
    file.look(unit.lists)
    file.look(unit.lists)
    assert unit.codes == "list-refused"
    path.write_bytes(RAW)
    file.look(unit.lists)
    file.look(unit.lists)
    assert (unit.version, unit.changes, unit.codes) == (5, 1, "")
    newer = path.with_suffix(".new")
    newer.write_bytes(signed("QA12CE", version=6))
    newer.replace(path)
    file.look(unit.lists)
    assert unit.version == 6
    path.unlink()
    file.look(unit.lists)
    assert (unit.version, unit.codes) == (6, "list-refused")


def test_a_desk_is_told_at_once_what_is_wrong_with_its_file(tmp_path: Path) -> None:
    unit, path = Unit(tmp_path), tmp_path / "list.signed"
    with pytest.raises(Unusable, match=r"set watchlist\.path"):
        ListFile(path, must=True).look(unit.lists)
    path.write_bytes(signed("QA12CE", units=("pole-08",)))
    with pytest.raises(Unusable, match=r"list\.signed: is not for unit"):
        ListFile(path, must=True).look(unit.lists)


def test_a_version_that_cannot_be_kept_is_not_put_in_force(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    (tmp_path / "ratchet.part").mkdir()
    assert not unit.lists.offer(RAW, at(), "list")
    assert unit.version is None


def test_a_unit_matches_up_to_the_class_that_its_config_names(tmp_path: Path) -> None:
    """A 0 that may be an O: the plate with the O is a look-alike, and an `exact` unit leaves it alone."""
    classes = encode("0B1234")
    posteriors = np.full((6, 36), 1e-4, np.float32)
    posteriors[np.arange(6), classes] = 0.99
    posteriors[0, [0, 24]] = 0.49
    read = PlateRead(classes, posteriors, posteriors.max(axis=1), 5, 5)
    met = {}
    for step in (MatchClass.EXACT, MatchClass.CONFUSABLE):
        unit = Unit(tmp_path, replace(LIMITS, match=step))
        unit.lists.offer(signed("OB1234", version=5), at(), "list")
        assert unit.lists.armed
        match = unit.lists.armed.matcher.match(read, at().monotonic_ns)
        met[step] = match and match.match_class
    assert met == {MatchClass.EXACT: None, MatchClass.CONFUSABLE: MatchClass.CONFUSABLE}
