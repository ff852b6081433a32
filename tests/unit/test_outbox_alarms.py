from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_anpr.unit.alarms import Alarms
from edge_anpr.unit.outbox import USUAL_BYTES, Outbox, OutboxError, OutboxFull
from edge_anpr.unit.outbox_alarms import TELL_S, OutboxAlarms
from edge_anpr.unit.telling import Telling

ROOM = 100_000


class Watched:
    """An outbox with its alarms, as the recogniser has them; ``told`` is every change of what stands."""

    def __init__(self, path: Path) -> None:
        self.outbox = Outbox(path, ROOM)
        self.told: list[dict[str, str]] = []
        self.alarms = OutboxAlarms(Alarms(self._tell), self.outbox)
        self.refused, self.now_s, self.why = 0, 0.0, ""

    def _tell(self, raw: bytes) -> None:
        self.told.append({item["code"]: item["text"] for item in json.loads(raw)["active"]})

    def append(self, size: int) -> None:
        try:
            self.outbox.append("a", "first", b"x" * size)
        except OutboxFull as error:
            self.refused += 1
            self.why = str(error)

    def look(self, later_s: float = 1.0) -> dict[str, str]:
        self.now_s += later_s
        self.alarms.look(self.refused, self.why, self.now_s)
        return self.told[-1]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path / "outbox.db")
    yield made
    made.outbox.close()


def test_refused_hits_are_an_alarm_until_there_is_room_again(watched: Watched) -> None:
    watched.append(ROOM)
    assert watched.look() == {}
    watched.append(1)
    text = watched.look()["hits-refused"]
    assert text.startswith("1 messages of hits were refused since the start and are lost: outbox ")
    assert text.endswith(f"is full: 1 messages, {ROOM} bytes wait")
    assert "hits-refused" in watched.look()
    watched.outbox.delete([1])
    assert watched.look() == {}
    watched.outbox.append("b", "first", b"x" * (ROOM - USUAL_BYTES + 1))  # no room for just any hit
    watched.append(ROOM)
    assert watched.look()["hits-refused"].startswith("2 messages")
    assert "hits-refused" in watched.look()


def test_its_number_is_brought_up_to_date_now_and_then(watched: Watched) -> None:
    watched.append(ROOM)
    for _ in range(20):
        watched.append(1)
        watched.look()
    assert [text.get("hits-refused", "")[:2] for text in watched.told] == ["", "1 "]
    assert watched.look(TELL_S)["hits-refused"].startswith("20 messages")
    watched.look(TELL_S)
    assert len(watched.told) == 3


def test_a_refusal_that_is_over_at_once_is_an_alarm_all_the_same(watched: Watched) -> None:
    watched.append(ROOM + 1)
    watched.look()
    assert watched.look() == {}
    assert len(watched.told) == 3


def test_a_damaged_outbox_is_an_alarm_until_somebody_has_removed_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    outbox = Outbox(path, ROOM)
    outbox.append("a", "first", b"1")
    outbox.close()
    path.write_bytes(b"torn" + path.read_bytes()[4:])
    watched = Watched(path)
    aside = tmp_path / "outbox.db.damaged-1"
    assert watched.look() == {
        "outbox-damaged": "the outbox was damaged: 1 messages were carried over, 0 lost; the old file is "
        f"{aside}, remove it when it has been looked at"
    }
    watched.look()
    assert len(watched.told) == 2
    aside.unlink()
    assert watched.look() == {}
    watched.outbox.close()


def test_what_another_process_found_ends_this_one(watched: Watched) -> None:
    other = Outbox(watched.outbox._path, ROOM)
    other._place.damage()
    with pytest.raises(OutboxError, match="is damaged"):
        watched.look()
    other.close()


def test_a_state_that_a_full_disk_did_not_take_is_told_as_soon_as_it_takes_any(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    telling = Telling(watched.outbox)
    telling.put("alarm", b"none")

    def refuse(*_: object) -> None:
        raise OutboxFull("the disk is full")

    with monkeypatch.context() as full:
        full.setattr(watched.outbox, "put_state", refuse)
        telling.put("alarm", b"hits-refused")
        telling.put("status", b"armed")
    assert watched.outbox.state("alarm") == b"none"
    telling.put("health", b"{}")
    assert (watched.outbox.state("alarm"), watched.outbox.state("status")) == (b"hits-refused", b"armed")
