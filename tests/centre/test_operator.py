from __future__ import annotations

import io
import os
from collections.abc import Iterator

import pytest

from edge_anpr.centre.operator import Operator
from edge_anpr.errors import Unusable


class Terminal:
    def __init__(self) -> None:
        self.out = io.StringIO()
        source, self._keyboard = os.pipe()
        self.operator = Operator(source, self.out)
        self._open = [source, self._keyboard]

    def type(self, text: str) -> None:
        os.write(self._keyboard, text.encode())

    def hang_up(self) -> None:
        self._open.remove(self._keyboard)
        os.close(self._keyboard)

    def close(self) -> None:
        for descriptor in self._open:
            os.close(descriptor)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


@pytest.mark.parametrize(("word", "yes"), [("y", True), ("YES", True), (" y ", True), ("n", False), ("no", False)])
def test_a_question_is_shown_once_and_answered_by_a_line(terminal: Terminal, word: str, yes: bool) -> None:
    decide = terminal.operator.decide
    assert decide("Give it?") is None
    assert decide("Give it?") is None
    terminal.type(word)
    assert decide("Give it?") is None  # not before Enter
    terminal.type("\n")
    assert decide("Give it?") is yes
    assert terminal.out.getvalue() == "Give it? [y/n] "


def test_what_was_typed_before_a_question_is_no_answer_to_it(terminal: Terminal) -> None:
    terminal.type("y\n")
    assert terminal.operator.decide("One?") is None
    terminal.type("y\ny\n")
    assert terminal.operator.decide("Another?") is None
    terminal.type("y\n")
    assert terminal.operator.decide("Another?") is True
    assert terminal.operator.decide("Another?") is None  # asked anew


def test_anything_else_is_asked_again(terminal: Terminal) -> None:
    terminal.operator.decide("Give it?")
    terminal.type("\nperhaps\n")
    assert terminal.operator.decide("Give it?") is None
    assert terminal.out.getvalue().count("Type y or n") == 2
    terminal.type("n\n")
    assert terminal.operator.decide("Give it?") is False


def test_a_closed_terminal_is_no_yes(terminal: Terminal) -> None:
    terminal.operator.decide("Give it?")
    terminal.type("y")
    terminal.hang_up()
    with pytest.raises(Unusable, match="stdin is closed; start it on a terminal, or with --auto"):
        terminal.operator.decide("Give it?")
