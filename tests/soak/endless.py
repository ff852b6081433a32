"""The recogniser's process in front of a clip that begins again at its end: ``endless.py CONFIG FRAMES [SABOTAGE]``.

All else is the product's: the threads, the box between them, the list, the outbox, the watchdog. ``SABOTAGE`` breaks
it, so that it is seen that a soak finds what it looks for.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np

from edge_anpr import config
from edge_anpr.camera.files import Clip
from edge_anpr.camera.opencv import Video
from edge_anpr.datatypes import Frame
from edge_anpr.privacy.process import restart_uncached
from edge_anpr.unit import journal, recogniser
from edge_anpr.unit.rounds import Rounds

_kept: list[object] = []


class Endless(Clip):
    """Opens its file anew at its end, until it has given so many frames; its clock goes on."""

    frames = 0
    sabotage = ""
    _given = 0

    def read(self) -> Frame | None:
        """The next frame, None when all have been given."""
        if self._given >= self.frames:
            return None
        self._given += 1
        frame = super().read()
        if frame is None:
            self._video.close()
            self._video = Video(cv2.VideoCapture(str(self._path)))
            frame = super().read()
            if self.sabotage == "descriptors":
                _kept.append(self._path.open("rb"))
            if self.sabotage == "threads":
                _kept.append(threading.Thread(target=threading.Event().wait, daemon=True))
                _kept[-1].start()  # type: ignore[attr-defined]
        if self.sabotage == "memory":
            _kept.append(np.ones(20_000, np.uint8))
        return frame


def main() -> int:
    """Run until told to end."""
    restart_uncached()
    Endless.frames = int(sys.argv[2])
    Endless.sabotage = "".join(sys.argv[3:4])
    recogniser.Clip = Endless  # type: ignore[attr-defined]
    if Endless.sabotage == "watchdog":
        turn = Rounds.turn

        def slow(self: Rounds) -> None:
            turn(self)
            time.sleep(5)

        Rounds.turn = slow  # type: ignore[method-assign]
    journal.begin("recogniser")
    return recogniser.run(config.load(Path(sys.argv[1])))


if __name__ == "__main__":
    sys.exit(main())
