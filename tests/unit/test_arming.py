"""A unit that asks the centre: armed by a sealed answer, disarmed by a withdrawal, and nothing of it on the disk."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_anpr.privacy.keys import key_id
from edge_anpr.unit import arming as module
from edge_anpr.unit.alarms import Alarms
from edge_anpr.unit.arming import Arming
from edge_anpr.unit.inbox import Inbox
from edge_anpr.unit.lists import Limits, Lists
from edge_anpr.watch import envelope
from edge_anpr.watch.arming import answer, read_request, revoke
from edge_anpr.watch.opening import Trust
from edge_anpr.watch.ratchet import Ratchet
from tests.watch.lists import NOW, TRUSTED, pair, signed

SECRET, PUBLIC = pair(b"centre".ljust(32))
CENTRE = {key_id(PUBLIC.raw): PUBLIC.raw}


@dataclass
class Pole:
    folder: Path
    asked: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.inbox = Inbox(self.folder / "inbox")
        self.told: list[bytes] = []
        self.alarms = Alarms(self.told.append)
        self.lists = Lists(
            "pole-07", Trust(TRUSTED, CENTRE), Ratchet(self.folder / "ratchet.json"), self.alarms,
            Limits(1000, 1000, 5000, 10), lambda: None,
        )  # fmt: skip
        self.arming = Arming("pole-07", "0" * 16, CENTRE, self.inbox, self.asked.append, asks=True)

    def look(self) -> int | None:
        self.arming.look(self.lists)
        return self.lists.armed.header.version if self.lists.armed else None

    def answer(self, *plates: str, version: int = 3, now: datetime = NOW, request: bytes | None = None) -> None:
        asked = read_request(request or self.asked[-1])
        self.inbox.drop(answer(asked, signed(*plates, version=version), version, SECRET, now))


@pytest.fixture
def pole(tmp_path: Path) -> Pole:
    return Pole(tmp_path)


def test_it_asks_until_it_is_armed_and_judges_the_list_by_the_centres_clock(pole: Pole) -> None:
    assert pole.look() is None
    assert pole.look() is None
    assert pole.asked[0] == b""  # what was asked before is void
    assert len(pole.asked) == 2  # not at every look
    pole.answer("QA12CE")  # NOW of the tests is long gone by this machine's clock, and so is the list's end one day
    assert pole.look() == 3
    assert len(pole.asked) == 3  # and now for a newer one
    held = read_request(pole.asked[-1]).holds
    assert held is not None
    assert (held.list_id, held.version) == ("test", 3)
    assert pole.lists.armed is not None
    left_s = (pole.lists.armed.ends_ns - time.monotonic_ns()) / 1e9
    assert abs(left_s - (datetime(2026, 12, 31, tzinfo=UTC) - NOW).total_seconds()) < 60


def test_an_operator_who_takes_his_time_may_answer_an_older_request(
    pole: Pole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ASK_NS", 0)
    for _ in range(3):
        pole.look()
    assert len(pole.asked) == 4
    pole.answer("QA12CE", request=pole.asked[1])
    assert pole.look() == 3


def test_a_withdrawal_disarms_at_the_next_look_and_the_unit_asks_again(pole: Pole) -> None:
    pole.look()
    pole.answer("QA12CE")
    assert pole.look() == 3
    pole.inbox.drop(revoke("test", 3, ("pole-08",), SECRET, NOW))
    assert pole.look() == 3
    pole.inbox.drop(revoke("test", 3, ("*",), SECRET, NOW))
    assert pole.look() is None
    assert pole.asked[-1]
    pole.answer("QA12CE")
    assert pole.look() is None
    pole.answer("QA12CE", version=4)
    assert pole.look() == 4


def test_what_is_not_the_centres_answer_to_this_unit_leaves_it_as_it_was(pole: Pole, tmp_path: Path) -> None:
    pole.look()
    stranger, _ = envelope.new_pair("stranger")
    asked = read_request(pole.asked[-1])
    other = Pole(tmp_path / "other")
    other.look()
    pole.inbox.drop(answer(asked, signed("QA12CE"), 3, stranger, NOW))
    pole.inbox.drop(answer(read_request(other.asked[-1]), signed("QA12CE"), 3, SECRET, NOW))
    pole.inbox.drop(answer(asked, signed("QA12CE", units=("pole-08",)), 3, SECRET, NOW))
    pole.inbox.drop(answer(asked, signed("QA12CE"), 3, SECRET, NOW + timedelta(days=365)))
    pole.inbox.drop(answer(asked, signed("QA12CE"), 4, SECRET, NOW))  # sent as another version than it is
    pole.inbox.drop(revoke("test", 3, ("*",), stranger, NOW))
    pole.inbox.drop(signed("QA12CE"))  # a list in clear is no answer
    pole.inbox.drop(os.urandom(100))
    assert pole.look() is None
    assert [alarm["code"] for alarm in json.loads(pole.told[-1])["active"]] == ["list-refused"]


def test_a_newer_list_is_taken_while_the_old_one_is_in_force(pole: Pole) -> None:
    pole.look()
    pole.answer("QA12CE")
    assert pole.look() == 3
    pole.answer("QA12CE", "KU99QX", version=4)
    assert pole.look() == 4
    assert json.loads(pole.told[-1])["active"] == []


def test_nothing_of_the_list_is_on_the_disk(pole: Pole) -> None:
    pole.look()
    pole.answer("QA12CE")
    pole.look()
    kept = {path.relative_to(pole.folder): path.read_bytes() for path in pole.folder.rglob("*") if path.is_file()}
    assert list(map(str, kept)) == ["ratchet.json"]
    assert b"QA12CE" not in kept[Path("ratchet.json")]
    assert json.loads(kept[Path("ratchet.json")])["versions"]


ARMED = """
import sys
from pathlib import Path
from tests.unit.test_arming import Pole

pole = Pole(Path(sys.argv[1]))
pole.look()
print(pole.asked[1].decode(), flush=True)
pole.inbox.drop(bytes.fromhex(sys.stdin.readline()))
assert pole.look() == 3
print("armed", flush=True)
sys.stdin.readline()
"""


def test_no_plate_of_the_list_is_in_the_memory_of_the_unit(tmp_path: Path) -> None:
    plates = [f"QZ{number}CE" for number in range(100, 400)]
    command = [sys.executable, "-c", ARMED, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        asked = read_request(process.stdout.readline())
        listed = signed(*plates)
        process.stdin.write(answer(asked, listed, 3, SECRET, NOW).hex().encode() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"armed\n"
        memory = _memory(process.pid)
        process.kill()
    in_base64 = json.loads(listed)["payload"]
    assert b"from the centre" in memory  # the scan reads the heap
    assert [plate for plate in plates if plate.encode() in memory] == []
    assert in_base64[1000:1040].encode() not in memory


def _memory(pid: int) -> bytes:
    found = []
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in maps:
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            if "rw" in line.split()[1] and "[v" not in line:
                memory.seek(start)
                found.append(memory.read(end - start))
    return b"".join(found)
