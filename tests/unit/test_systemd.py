import logging
import os
import sys
from pathlib import Path

import pytest

from edge_anpr.unit import systemd


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(systemd, "time", made)
    return made


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setenv("NOTIFY_SOCKET", "/there")
    monkeypatch.setenv("WATCHDOG_USEC", "8000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    monkeypatch.setattr(systemd, "notify", said.append)
    return said


def test_the_watchdog_is_fed_four_times_in_its_time_while_alive(clock: Clock, heard: list[str]) -> None:
    service = systemd.Service()
    for second in range(9):
        clock.now = 100.0 + second
        service.turn(alive=second != 4, status=lambda: "")
    assert heard.count("WATCHDOG=1") == 4  # at 0, 2, 5 because 4 was no life, 7


def test_a_status_comes_when_it_has_changed_and_every_five_seconds_at_most(clock: Clock, heard: list[str]) -> None:
    service = systemd.Service()
    for second in range(16):
        clock.now = 100.0 + second
        service.turn(alive=False, status=lambda second=second: f"{min(second, 7)}")  # type: ignore[misc]
    assert heard == ["STATUS=0", "STATUS=5", "STATUS=7"]


def test_a_brokers_words_are_no_orders_to_systemd(clock: Clock, heard: list[str]) -> None:
    systemd.Service().turn(alive=False, status=lambda: "it says: \x1b[2J\nMAINPID=1\r\n" + "x" * 9000)
    assert heard[0].startswith("STATUS=it says: [2J MAINPID=1 xxx")
    assert len(heard[0]) < 500


def test_ready_is_said_once_and_again_only_if_it_was_not_taken(
    monkeypatch: pytest.MonkeyPatch, heard: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    service = systemd.Service()

    def fails(_: str) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(systemd, "notify", fails)
    service.ready()
    service.ready()
    assert caplog.messages == ["systemd cannot be told how this service is: Connection refused"]
    monkeypatch.setattr(systemd, "notify", heard.append)
    service.ready()
    service.ready()
    service.stopping()
    assert heard == ["READY=1", "STOPPING=1"]


def test_another_processes_watchdog_is_not_ours(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, heard: list[str]
) -> None:
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    systemd.Service().turn(alive=True, status=lambda: "")
    assert heard == ["STATUS="]


def test_without_the_package_a_waiting_systemd_is_an_error_in_words(
    monkeypatch: pytest.MonkeyPatch, heard: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(systemd, "notify", None)
    service = systemd.Service()
    service.ready()
    service.turn(alive=True, status=lambda: "")
    service.stopping()
    assert caplog.messages == ["systemd waits for word of this service, and cannot get any: install python3-systemd"]


def test_without_systemd_nobody_is_told(
    monkeypatch: pytest.MonkeyPatch, heard: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET")
    caplog.set_level(logging.INFO)
    service = systemd.Service()
    service.ready()
    service.turn(alive=True, status=lambda: "")
    service.stopping()
    assert (heard, caplog.messages) == ([], [])


def test_the_variable_alone_does_not_make_stderr_the_journal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "stderr").open("w") as file:
        monkeypatch.setattr(sys, "__stderr__", file)
        there = os.fstat(file.fileno())
        for said, is_journal in (("8:1", False), ("", False), (f"{there.st_dev}:{there.st_ino}", True)):
            monkeypatch.setenv("JOURNAL_STREAM", said)
            assert systemd.logs_to_journal() is is_journal
