"""The capture thread: source → latest-frame box, and a source that is lost is opened again."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from edge_anpr.camera.box import LatestFrame
from edge_anpr.camera.files import Clip, Folder
from edge_anpr.camera.frozen import Stillness
from edge_anpr.datatypes import Frame
from edge_anpr.errors import SourceLost
from edge_anpr.privacy.wipe import wipe
from edge_anpr.unit.events import event
from edge_anpr.unit.health import Counters
from edge_anpr.unit.journal import told
from edge_anpr.unit.pulse import Pulse

if TYPE_CHECKING:  # a unit has one camera, and loads what opens that one
    from edge_anpr.camera.gstreamer import GstreamerCamera
    from edge_anpr.camera.picamera2 import PiCamera
    from edge_anpr.camera.rtsp import RtspCamera
    from edge_anpr.camera.v4l2 import V4l2Camera

    Source = Clip | Folder | GstreamerCamera | PiCamera | RtspCamera | V4l2Camera

log = logging.getLogger(__name__)

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
# A camera that stays frozen is opened again less and less often, for opening makes it blind for a second or two.
LONGEST_FROZEN_S = 600.0
# OpenCV itself gives up a camera that has been silent for 10 s; to open one on a slow USB hub takes a few seconds more.
PATIENCE_S = 30.0


class Capture:
    """Moves frames from a source into ``box`` until it ends.

    ``source`` is one that is open already, or None. With ``every_frame`` none is overwritten: the source waits, which
    only recorded material can. A live camera whose picture has not changed by a single value for ``frozen_s`` is opened
    again; its frames are not looked at until the picture moves; off at 0. A call of it that takes more than
    ``patience_s`` hangs. ``lost`` and ``frozen`` say what is wrong now, in words.
    """

    def __init__(
        self,
        open_source: Callable[[], Source],
        source: Source | None,
        box: LatestFrame,
        counters: Counters,
        *,
        every_frame: bool,
        frozen_s: float = 0.0,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._open, self._source, self._box, self._counters = open_source, source, box, counters
        self._every_frame, self._patience_s = every_frame, patience_s
        self.pulse = Pulse("capture")
        self._waits = 0
        self._frozen_s = self._frozen_patience_s = frozen_s
        self._stillness, self._reopened_s = Stillness(), 0.0
        self.lost: str | None = None
        self.frozen: str | None = None

    def run(self, stop: threading.Event) -> None:
        """Until the source has ended or ``stop`` is set. Raises Unusable for what no waiting will mend."""
        while not stop.is_set():
            try:
                if self._source is None:
                    self.pulse.beat(self._patience_s)
                    self._source = self._open()
                self.pulse.beat(self._patience_s)
                frame = self._source.read()
            except SourceLost as error:
                self._lose(error, stop)
                continue
            if frame is None:
                if isinstance(self._source, Clip | Folder) and (shortfall := self._source.shortfall()):
                    log.warning("%s", shortfall)
                log.info("the recording has ended; heartbeats go on until this process is told to stop")
                self._close()  # the decoder still shows the last pictures
                self._box.close()
                self.pulse.rest()
                return
            if self._waits:
                log.info("the camera is back", extra=event("camera-back"))
            self._waits, self.lost = 0, None
            if self._is_frozen(frame):
                continue
            self._counters.state = "running"
            while self._every_frame and not self._box.empty(0.1) and not stop.is_set():
                self.pulse.beat(self._patience_s)  # it is the vision thread that takes so long, and that has its own
            displaced = self._box.put(frame)
            if displaced is not None:
                self.recycle(displaced)

    def recycle(self, frame: Frame) -> None:
        """Overwrite a frame and give its buffers to the source, if one is open; called from the vision thread too."""
        source = self._source  # the capture thread may lose it between a look and a call
        if source is None:
            wipe(frame.luma, frame.lores, frame.colour)
        else:
            source.recycle(frame)

    def _is_frozen(self, frame: Frame) -> bool:
        if not self._frozen_s:
            return False
        still_s = self._stillness.look(frame.luma, time.monotonic_ns())
        if still_s < self._frozen_s:
            if self.frozen is not None:
                log.info("the camera's picture moves again")
            self.frozen, self._frozen_patience_s, self._reopened_s = None, self._frozen_s, 0.0
            return False
        self.recycle(frame)
        self._counters.state = "camera frozen"
        if still_s - self._reopened_s >= self._frozen_patience_s:
            self._counters.source_frozen += 1
            self.frozen = (
                f"the camera has given the very same picture for {self._frozen_s:g} s; it is opened again, and if this "
                "stays, cut its power for a moment, and see whether its lens is covered"
            )
            self._frozen_patience_s = min(2 * self._frozen_patience_s, LONGEST_FROZEN_S)
            self._reopened_s = still_s
            self._close()
        return True

    def _close(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.close()

    def _lose(self, error: SourceLost, stop: threading.Event) -> None:
        self._counters.source_losses += 1
        self._counters.state = "camera lost"
        self.lost = told(error)
        if self._waits == 0:
            log.error("%s; trying again", told(error), extra=event("camera-lost"))
        self.pulse.beat(self._patience_s)
        self._close()
        self._waits += 1
        wait_s = min(FIRST_WAIT_S * 2 ** min(self._waits - 1, 6), LONGEST_WAIT_S)
        wait_s *= 0.5 + secrets.randbelow(512) / 1024  # poles that lost one switch do not come back at once
        self.pulse.beat(wait_s + self._patience_s)
        stop.wait(wait_s)
