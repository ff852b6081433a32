import logging
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest

from edge_anpr.errors import Unusable
from edge_anpr.unit import journal, systemd
from edge_anpr.unit.alarms import Alarms
from edge_anpr.unit.events import MESSAGE_IDS


def test_of_a_foreign_error_only_type_and_place_are_told() -> None:
    try:
        int("QA12CE")
    except ValueError as error:
        told = journal.told(error)
    assert told.startswith("ValueError at ")
    assert "QA12CE" not in told


def test_of_our_own_errors_the_text_is_told() -> None:
    assert journal.told(Unusable("camera.path: no such clip")) == "camera.path: no such clip"


def test_an_uncaught_exception_in_a_thread_prints_no_value(capsys: pytest.CaptureFixture[str]) -> None:
    hooks = threading.excepthook
    handlers = logging.getLogger().handlers[:]
    try:
        journal.begin("recogniser")
        thread = threading.Thread(target=lambda: int("QA12CE"))
        thread.start()
        thread.join()
        printed = capsys.readouterr().err
    finally:
        threading.excepthook = hooks
        logging.getLogger().handlers[:] = handlers
    assert "recogniser: stopped by ValueError at " in printed
    assert "QA12CE" not in printed


@pytest.fixture
def in_the_journal(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, str | int]]]:
    """As under systemd, with systemd-python: the entries that would be in the journal."""
    sent: list[dict[str, str | int]] = []
    root, hooks = logging.getLogger(), (threading.excepthook, sys.excepthook, sys.unraisablehook, warnings.showwarning)
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(systemd, "logs_to_journal", lambda: True)
    monkeypatch.setattr(systemd, "has_journal", lambda: True)
    monkeypatch.setattr(systemd, "journal_send", lambda fields: sent.append(dict(fields)))
    yield sent
    threading.excepthook, sys.excepthook, sys.unraisablehook, warnings.showwarning = hooks
    root.handlers[:] = handlers
    root.setLevel(level)


def test_an_entry_has_its_event_its_camera_and_an_id_and_no_argument_of_its_own(
    in_the_journal: list[dict[str, str | int]],
) -> None:
    journal.begin("recogniser")
    journal.name_camera("cam-1")
    alarms = Alarms(lambda _: None)
    alarms.raise_("list-refused", "it is too old")
    alarms.clear("list-refused")
    logging.getLogger("edge_anpr.x").warning("%d frames", 3)
    always = {"SYSLOG_IDENTIFIER": "edge-anpr-recogniser", "EDGE_ANPR_CAMERA": "cam-1"}
    about = {**always, "LOGGER": "edge_anpr.unit.alarms", "EDGE_ANPR_EVENT": "list-refused"}
    assert in_the_journal == [
        {**about, "MESSAGE": "list-refused: it is too old", "PRIORITY": 3, "MESSAGE_ID": MESSAGE_IDS["list-refused"]},
        {**about, "MESSAGE": "list-refused is over", "PRIORITY": 6, "MESSAGE_ID": MESSAGE_IDS["over"]},
        {**always, "LOGGER": "edge_anpr.x", "MESSAGE": "3 frames", "PRIORITY": 4},
    ]


def test_what_a_person_must_mend_is_an_error_in_the_journal(in_the_journal: list[dict[str, str | int]]) -> None:
    def work() -> int:
        raise Unusable("unit.yaml:3: camera: is missing; write it\nunit.yaml:9: mqtt.port: takes a whole number")

    journal.begin("publisher")
    assert journal.until_mended(work) == 2
    assert [entry["MESSAGE"] for entry in in_the_journal] == [
        "unit.yaml:3: camera: is missing; write it", "unit.yaml:9: mqtt.port: takes a whole number",
    ]  # fmt: skip
    assert {(entry["PRIORITY"], entry["EDGE_ANPR_EVENT"]) for entry in in_the_journal} == {(2, "stopped")}


def test_elsewhere_it_is_the_command_lines_affair() -> None:
    def work() -> int:
        raise Unusable("camera: is missing")

    with pytest.raises(Unusable):
        journal.until_mended(work)


def test_without_systemd_python_each_line_has_a_priority(
    in_the_journal: list[dict[str, str | int]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(systemd, "has_journal", lambda: False)
    journal.begin("recogniser")
    journal.name_camera("cam-1")
    logging.getLogger("x").error("one\ntwo")
    logging.getLogger("x").info("three")
    assert capsys.readouterr().err == "<3>recogniser: one\n<3>two\n<6>recogniser: three\n"
    assert in_the_journal == []
