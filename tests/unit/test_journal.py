import logging
import threading

import pytest

from edge_anpr.errors import Unusable
from edge_anpr.unit import journal


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
