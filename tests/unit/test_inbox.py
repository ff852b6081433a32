from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from edge_anpr.errors import Unusable
from edge_anpr.unit import inbox
from edge_anpr.unit.inbox import Inbox


@pytest.fixture
def box(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "run" / "inbox")


def test_what_is_dropped_is_taken_once_and_in_order(box: Inbox, tmp_path: Path) -> None:
    for number in range(12):
        assert box.drop(f"{number}".encode()) is None
    assert Inbox(tmp_path / "run" / "inbox").take() == [f"{number}".encode() for number in range(12)]
    assert box.take() == []
    assert list((tmp_path / "run" / "inbox").iterdir()) == []


def test_it_is_bounded_in_number_and_in_size(box: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MAX_MESSAGE_BYTES", 100)
    monkeypatch.setattr(inbox, "MAX_BYTES", 250)
    assert "too large" in (box.drop(bytes(101)) or "")
    assert [box.drop(bytes(100)) is None for _ in range(3)] == [True, True, False]
    assert "has not taken 2 messages, 200 bytes" in (box.drop(bytes(100)) or "")
    assert len(box.take()) == 2
    assert [box.drop(b"") is None for _ in range(17)] == [True] * 16 + [False]
    assert len(box.take()) == 16


def test_what_is_not_whole_is_not_taken(box: Inbox, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "inbox"
    (folder / "part").write_bytes(b"hal")  # of a publisher that was killed
    assert box.take() == []
    assert box.drop(b"whole") is None
    assert box.take() == [b"whole"]
    assert list(folder.iterdir()) == []


def test_dropping_and_taking_at_once_loses_nothing(box: Inbox, tmp_path: Path) -> None:
    dropped, taken, done = 0, list[bytes](), threading.Event()

    def take() -> None:
        while not done.is_set():
            taken.extend(Inbox(tmp_path / "run" / "inbox").take())

    taker = threading.Thread(target=take)
    taker.start()
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        said = box.drop(f"{dropped}".encode())
        assert said is None or "full" in said
        dropped += said is None
    done.set()
    taker.join()
    taken += box.take()
    assert dropped > 50
    assert taken == [f"{number}".encode() for number in range(dropped)]


def test_what_is_no_plain_file_is_thrown_away(box: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run" / "inbox"
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (folder / "1.message").symlink_to(secret)
    os.mkfifo(folder / "2.message")
    monkeypatch.setattr(inbox, "MAX_MESSAGE_BYTES", 10)
    (folder / "3.message").write_bytes(bytes(11))
    (folder / "4.message").write_bytes(b"good")
    assert box.take() == [b"good"]
    assert list(folder.iterdir()) == []
    assert secret.exists()


def test_what_a_person_must_mend_is_told(box: Inbox, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unusable, match="cannot be made"):
        Inbox(tmp_path / "file" / "inbox")
    (tmp_path / "run" / "inbox").rmdir()
    assert "cannot be written: No such file" in (box.drop(b"x") or "")
    with pytest.raises(Unusable, match="cannot be read"):
        box.take()


def test_only_the_units_own_group_may_look_in(box: Inbox, tmp_path: Path) -> None:
    box.drop(b"x")
    folder = tmp_path / "run" / "inbox"
    assert folder.stat().st_mode & 0o007 == 0
    assert next(folder.iterdir()).stat().st_mode & 0o117 == 0
