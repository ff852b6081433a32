"""Runs the command line with one thing broken from the outside: ``python sabotage.py MODE recognise -c unit.yaml``.

Its log is at level DEBUG. What is broken, MODE, is the name of a function below, ``raise:STAGE`` or ``none``.
"""

from __future__ import annotations

import logging
import os
import resource
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

KEPT: list[Any] = []
EPOCH_NS = 2_000_000_000


def known_key(key: bytearray, number: int) -> None:
    """Write the key of an epoch, counted from 0: in place, so that no copy of it is left."""
    for index in range(len(key)):
        key[index] = (index * index * 11 + index * 37 + number * 53 + 5) % 256


def main() -> None:
    mode, _, stage = sys.argv.pop(1).partition(":")
    most = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))
    from edge_anpr import cli
    from edge_anpr.unit import journal

    begin = journal.begin

    def verbose(process: str) -> None:
        begin(process)
        logging.getLogger().setLevel(logging.DEBUG)

    journal.begin = verbose
    if sys.argv[1] == "recognise" and mode != "as it looks":
        _look_at_all()
    if sys.argv[1] == "recognise" or mode == "core":
        MODES[mode](*filter(None, [stage]))
    cli.main()


def _look_at_all() -> None:
    """What is looked at leaves most behind, so the proof passes over no frame; what moves is watched all the same."""
    from edge_anpr.unit.attention import Attention, Glance

    glance = Attention.glance

    def look(self: Any, *arguments: Any) -> Glance:
        glance(self, *arguments)
        return Glance.LOOK

    Attention.glance = look  # type: ignore[assignment,method-assign]


def _keep() -> None:
    """The positive control: everything of the first passage, and of its first frames, is kept."""
    import cv2
    import numpy as np

    from edge_anpr.plates.text import reveal
    from edge_anpr.unit.decide import Decider
    from edge_anpr.unit.pipeline import Pipeline, is_plate

    see, end = Pipeline.see, Decider.end
    state = {"frames": 0, "passages": 0}

    def watched(self: Any, frame: Any, *more: Any) -> Any:
        outputs: list[Any] = []
        bound = self.reader._pass

        def noted(count: int) -> Any:
            def run() -> Any:
                found, array = bound(count).run(), self.reader._crops[:count]
                outputs.append(
                    (array.copy(), array.astype(np.float32), found[0].copy(), found[0].transpose(0, 2, 1).copy())
                )
                return found

            return SimpleNamespace(run=run)

        self.reader._pass = noted
        seen = see(self, frame, *more)
        del self.reader._pass
        if seen.sightings and state["frames"] < 5:
            state["frames"] += 1
            held = [one.array.copy() for one in self.detector._inputs.values()]
            KEPT.append((frame.luma.copy(), frame.colour.copy(), held, [one.astype(np.float32) for one in held]))
            KEPT.append(
                (outputs, [sighting.reading.posteriors.copy() for sighting in seen.sightings if sighting.reading])
            )
            for option, value in ((cv2.CAP_PROP_CONVERT_RGB, 0), (cv2.CAP_PROP_FORMAT, -1)):
                video = cv2.VideoCapture(os.environ["PROOF_CLIP"])
                video.set(option, value)
                for _ in range(frame.index):
                    video.grab()
                KEPT.append(video.read()[1])
        return seen

    def kept(self: Any, track: Any, now_ns: int) -> None:
        read = self._pipeline.fuse(track)
        if read is not None and is_plate(read, track) and not state["passages"]:
            state["passages"] = 1
            text = reveal(read.classes)
            KEPT.append((text, text.encode("utf-16-le"), np.array([text]), read))
            KEPT.append([read.classes.astype(kind) for kind in (np.uint8, np.int32, np.int64, np.float32)])
        end(self, track, now_ns)

    Pipeline.see, Decider.end = watched, kept  # type: ignore[assignment,method-assign]


def _arena() -> None:
    import onnxruntime

    from edge_anpr.vision import session

    class Session(onnxruntime.InferenceSession):  # type: ignore[misc]
        def __init__(self, model: bytes, options: Any, **more: Any) -> None:
            options.enable_cpu_mem_arena = options.enable_mem_pattern = True
            super().__init__(model, options, **more)

    session.onnxruntime.InferenceSession = Session  # type: ignore[attr-defined]


def _flush() -> None:
    """No passes over nothing; buffers are overwritten all the same."""
    from edge_anpr.privacy.wipe import wipe
    from edge_anpr.vision.detect import Detector
    from edge_anpr.vision.ocr import Reader

    Reader.forget = lambda self: wipe(self._crops)  # type: ignore[method-assign]
    Detector.forget = lambda self: wipe(*(held.array for held in self._inputs.values()))  # type: ignore[method-assign]


def _arena_flush() -> None:
    _arena()
    _flush()


def _perturb() -> None:
    """The heap is not overwritten when it is freed."""
    from edge_anpr.privacy import process

    process._M_PERTURB = -1000


def _scrub() -> None:
    from edge_anpr.unit import pipeline

    pipeline.scrub = lambda: None  # type: ignore[attr-defined]


def _crop() -> None:
    from edge_anpr.vision.ocr import Reader

    Reader.forget = lambda self: None  # type: ignore[method-assign]


def _input() -> None:
    from edge_anpr.vision.detect import Detector

    Detector.forget = lambda self: None  # type: ignore[method-assign]


def _frame() -> None:
    from edge_anpr.camera import opencv

    def recycle(self: Any, frame: Any) -> None:
        KEPT.append(opencv._Buffers(frame.colour, frame.luma))  # in place of a ring that nobody overwrites
        del KEPT[:-4]

    opencv.Video.recycle = recycle  # type: ignore[method-assign]


def _decoder() -> None:
    from edge_anpr.unit.capture import Capture

    Capture._close = lambda self: None  # type: ignore[method-assign]


def _passage() -> None:
    from edge_anpr.vision.fuse import Passage

    def kept(self: Any) -> None:
        KEPT.append(self._choirs)
        self._choirs = {}

    Passage.forget = kept  # type: ignore[method-assign]


def _text() -> None:
    from edge_anpr.plates.text import reveal
    from edge_anpr.unit.decide import Decider

    match = Decider._match

    def told(self: Any, armed: Any, read: Any) -> Any:
        self.last = reveal(read.classes)
        return match(self, armed, read)

    Decider._match = told  # type: ignore[method-assign]


def _log() -> None:
    from edge_anpr.plates.text import reveal
    from edge_anpr.unit import decide

    match = decide.Decider._match

    def told(self: Any, armed: Any, read: Any) -> Any:
        decide.log.debug("read %s", reveal(read.classes))
        return match(self, armed, read)

    decide.Decider._match = told  # type: ignore[method-assign]


def _epoch() -> None:
    """Nothing is broken, but epochs are short and their keys known, so that old ones can be looked for."""
    from edge_anpr.privacy import tokens

    init, count = tokens.PassCounter.__init__, [0]

    def short(self: Any, epoch_ns: int) -> None:
        init(self, EPOCH_NS)

    def known(key: bytearray) -> None:
        known_key(key, count[0])
        count[0] += 1

    tokens.PassCounter.__init__ = short  # type: ignore[method-assign]
    tokens.fill = known


def _key() -> None:
    """The key is not rotated."""
    from edge_anpr.privacy import tokens

    _epoch()
    tokens.PassCounter.expire = lambda self, now_ns: None  # type: ignore[method-assign]


def _core() -> None:
    from edge_anpr.privacy import process

    process.harden = lambda: None


def _unraisable() -> None:
    """A destructor that fails, which Python tells by itself; with a plate in its text."""
    from edge_anpr.unit.decide import Decider

    class Trap:
        def __del__(self) -> None:
            raise RuntimeError(_undisguised())

    end = Decider.end

    def trapped(self: Any, track: Any, now_ns: int) -> None:
        Trap()
        end(self, track, now_ns)

    Decider.end = trapped  # type: ignore[method-assign]


def _undisguised() -> str:
    # The text stands nowhere in the process until it is thrown: it comes in disguise.
    return "".join(chr(byte ^ 0x55) for byte in bytes.fromhex(os.environ["PROOF_PLATE"]))


STAGES = ("capture", "detect", "track", "rectify", "ocr", "fuse", "match", "token", "outbox")


def _raise(stage: str) -> None:
    """The stage throws an exception whose text is a plate."""
    from edge_anpr.camera.opencv import Video
    from edge_anpr.privacy import tokens
    from edge_anpr.unit import decide, outbox
    from edge_anpr.vision import fuse, ocr
    from edge_anpr.vision.detect import Detector
    from edge_anpr.vision.track import Tracker

    places: dict[str, tuple[Any, str, int]] = {
        "capture": (Video, "read", 20),
        "detect": (Detector, "find", 20),
        "track": (Tracker, "update", 20),
        "rectify": (ocr, "rectify", 6),
        "ocr": (ocr.Reader, "read", 6),
        "fuse": (fuse.Passage, "fuse", 6),
        "match": (decide.Decider, "_match", 2),
        "token": (tokens, "keyed", 0),
        "outbox": (outbox.Outbox, "_depth", 0),
    }
    owner, name, after = places[stage]
    function, calls = getattr(owner, name), [0]

    def throwing(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] > after:
            raise (sqlite3.OperationalError if stage == "outbox" else RuntimeError)(_undisguised())
        return function(*arguments, **named)

    setattr(owner, name, throwing)


MODES: dict[str, Callable[..., None]] = {
    "none": lambda: None,
    "as it looks": lambda: None,
    "keep": _keep,
    "arena": _arena,
    "flush": _flush,
    "arena+flush": _arena_flush,
    "perturb": _perturb,
    "scrub": _scrub,
    "crop": _crop,
    "input": _input,
    "frame": _frame,
    "decoder": _decoder,
    "passage": _passage,
    "text": _text,
    "log": _log,
    "epoch": _epoch,
    "key": _key,
    "core": _core,
    "unraisable": _unraisable,
    "raise": _raise,
}

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main()
