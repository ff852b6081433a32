"""The operator's yes or no, on the terminal, while everything else goes on."""

from __future__ import annotations

import os
import select
import sys
from typing import TextIO

from edge_anpr.errors import Unusable


class Operator:
    """Asks one question at a time on ``out`` and takes lines from the descriptor ``source``."""

    def __init__(self, source: int = 0, out: TextIO | None = None) -> None:
        self._source, self._out = source, out or sys.stderr
        self._question: str | None = None
        self._typed = b""

    def decide(self, question: str) -> bool | None:
        """Yes, no, or None while the operator has not said. Another question replaces the one that stands.

        Raises Unusable when nobody can answer any more.
        """
        if question != self._question:
            self._hear()  # what was typed before the question was seen is no answer to it
            self._question, self._typed = question, b""
            self._say(f"{question} [y/n] ")
        self._hear()
        while b"\n" in self._typed:
            line, self._typed = self._typed.split(b"\n", 1)
            word = line.strip().lower()
            if word in (b"y", b"yes", b"n", b"no"):
                self._question = None
                return word.startswith(b"y")
            self._say("Type y or n, then Enter: ")
        return None

    def _say(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()

    def _hear(self) -> None:
        while select.select([self._source], [], [], 0)[0]:
            typed = os.read(self._source, 4096)
            if not typed:
                raise Unusable("nobody can answer here: stdin is closed; start it on a terminal, or with --auto")
            self._typed = (self._typed + typed)[-4096:]
