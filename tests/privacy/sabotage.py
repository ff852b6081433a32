"""Runs the command line with one thing broken from the outside: ``python sabotage.py MODE recognise -c unit.yaml``.

Its log is at level DEBUG. Modes: ``none``; ``keep`` (the positive control: everything of one passage is kept); a
mutation (``arena``, ``crop``, ``frame``, ``input``, ``passage``, ``text``, ``log``, ``key``, ``core``), which the proof
has to find; ``raise:STAGE``, where that stage throws an exception that quotes the plate.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

KEPT: list[Any] = []
EPOCH_NS = 2_000_000_000


def known_key(number: int) -> bytearray:
    """The key of an epoch when ``key`` or ``epoch`` is played: made in place, so that no copy of it is left."""
    key = bytearray(32)
    fill(key, number)
    return key


def fill(key: bytearray, number: int) -> None:
    for index in range(len(key)):
        key[index] = (index * index * 11 + index * 37 + number * 53 + 5) % 256


def main() -> None:
    mode = sys.argv.pop(1)
    from edge_anpr import cli
    from edge_anpr.unit import journal

    begin = journal.begin

    def verbose(process: str) -> None:
        begin(process)
        logging.getLogger().setLevel(logging.DEBUG)

    journal.begin = verbose
    if sys.argv[1] == "recognise":
        kind, _, stage = mode.partition(":")
        MODES[kind](stage) if stage else MODES[kind]()
    elif mode == "core":
        _core()
    cli.main()


def _none() -> None:
    pass


def _keep() -> None:
    import cv2
    import numpy as np

    from edge_anpr.plates.text import reveal
    from edge_anpr.unit.decide import Decider
    from edge_anpr.unit.pipeline import Pipeline, is_plate

    clip = os.environ["PROOF_CLIP"]
    see, end = Pipeline.see, Decider.end
    state = {"frames": 0, "passages": 0}

    def spied(self: Any, frame: Any) -> Any:
        run, outputs = self.reader._network.run, []
        self.reader._network.run = lambda array: outputs.append((array.copy(), run(array))) or outputs[-1][1]
        fit, inputs = self.detector._fit, []
        seen = see(self, frame)
        self.reader._network.run = run
        del fit, inputs
        if seen.sightings and state["frames"] < 5:
            state["frames"] += 1
            held = [one.array.copy() for one in self.detector._inputs.values()]
            logits = [array.copy() for _, array in [(0, reading[1][0]) for reading in outputs]]
            KEPT.append((frame.luma.copy(), frame.colour.copy(), held, [array for array, _ in outputs], logits))
            KEPT.append([sighting.reading.posteriors.copy() for sighting in seen.sightings])
            for option, value in ((cv2.CAP_PROP_CONVERT_RGB, 0), (cv2.CAP_PROP_FORMAT, -1)):
                video = cv2.VideoCapture(clip)
                video.set(option, value)
                for _ in range(frame.index):
                    video.grab()
                KEPT.append(video.read()[1])
        return seen

    def kept(self: Any, track: Any, now_ns: int) -> None:
        read = self._pipeline.fuse(track)
        if read is not None and is_plate(read, track) and state["passages"] == 0:
            state["passages"] = 1
            text = reveal(read.classes)
            KEPT.append((text, text.encode("utf-16-le"), np.array([text]), read))
            KEPT.append([read.classes.astype(kind) for kind in (np.uint8, np.int32, np.int64, np.float32)])
        end(self, track, now_ns)

    Pipeline.see, Decider.end = spied, kept  # type: ignore[method-assign]


def _arena() -> None:
    import onnxruntime

    from edge_anpr.vision import session

    class Session(onnxruntime.InferenceSession):  # type: ignore[misc]
        def __init__(self, model: bytes, options: Any, providers: list[str]) -> None:
            options.enable_cpu_mem_arena = options.enable_mem_pattern = True
            super().__init__(model, options, providers=providers)

    session.onnxruntime.InferenceSession = Session


def _flush() -> None:
    from edge_anpr.vision.detect import Detector
    from edge_anpr.vision.ocr import Reader
    from edge_anpr.privacy.wipe import wipe

    Reader.forget = lambda self: wipe(self._crops)
    Detector.forget = lambda self: wipe(*(held.array for held in self._inputs.values()))


def _both() -> None:
    _arena()
    _flush()


def _perturb() -> None:
    import ctypes
    from edge_anpr.privacy import process
    process._M_PERTURB=-1000


def _pf() -> None:
    _perturb(); _flush()


def _scrub() -> None:
    from edge_anpr.unit import pipeline
    pipeline.scrub = lambda: None


def _crop() -> None:
    from edge_anpr.vision.ocr import Reader

    Reader.forget = lambda self: None  # type: ignore[method-assign]


def _input() -> None:
    from edge_anpr.vision.detect import Detector

    Detector.forget = lambda self: None  # type: ignore[method-assign]


def _frame() -> None:
    from edge_anpr.camera import opencv

    def recycle(self: Any, frame: Any) -> None:
        self._free.appendleft(opencv._Buffers(frame.colour, frame.luma))
        if len(self._free) < 4:
            self._free.appendleft(opencv._Buffers(frame.colour.copy(), frame.luma.copy()))

    opencv.Video.recycle = recycle  # type: ignore[method-assign]


def _passage() -> None:
    from edge_anpr.vision.fuse import Passage

    forget = Passage.forget

    def kept(self: Any) -> None:
        KEPT.append(list(self._choirs.values()))
        del forget_after[:]
        self._choirs = {}
        forget(self)

    forget_after: list[Any] = []
    Passage.forget = kept  # type: ignore[method-assign]


def _text() -> None:
    from edge_anpr.plates.text import reveal
    from edge_anpr.unit.decide import Decider

    match = Decider._match

    def told(self: Any, read: Any) -> Any:
        self.last = reveal(read.classes)
        return match(self, read)

    Decider._match = told  # type: ignore[method-assign]


def _log() -> None:
    from edge_anpr.plates.text import reveal
    from edge_anpr.unit import decide

    match = decide.Decider._match

    def told(self: Any, read: Any) -> Any:
        decide.log.debug("read %s", reveal(read.classes))
        return match(self, read)

    decide.Decider._match = told  # type: ignore[method-assign]


def _epoch() -> None:
    from edge_anpr.privacy import tokens

    init, count = tokens.PassCounter.__init__, [0]

    def short(self: Any, epoch_ns: int, *rest: Any) -> None:
        init(self, EPOCH_NS, *rest)

    def known(key: bytearray) -> None:
        fill(key, count[0])
        count[0] += 1

    tokens.PassCounter.__init__ = short  # type: ignore[method-assign]
    tokens.fill = known


def _key() -> None:
    from edge_anpr.privacy import tokens

    _epoch()
    tokens.PassCounter.expire = lambda self, now_ns: None  # type: ignore[method-assign]


def _core() -> None:
    from edge_anpr.privacy import process

    process.harden = lambda: None


def _raise(stage: str) -> None:
    import edge_anpr.privacy.tokens as tokens
    import edge_anpr.unit.decide as decide
    import edge_anpr.unit.outbox as outbox
    import edge_anpr.unit.pipeline as pipeline
    import edge_anpr.vision.ocr as ocr
    from edge_anpr.camera.opencv import Video
    from edge_anpr.plates.text import reveal
    from edge_anpr.vision.detect import Detector
    from edge_anpr.vision.track import Tracker

    # The text stands nowhere in the process until it is thrown: it comes in disguise.
    disguised = bytes.fromhex(os.environ["PROOF_PLATE"])
    calls = [0]

    def quoting(kind: Callable[[str], BaseException], after: int) -> Callable[..., Any]:
        def thrown(*_: Any, **__: Any) -> Any:
            calls[0] += 1
            if calls[0] > after:
                raise kind("".join(chr(byte ^ 0x55) for byte in disguised))

        return thrown

    def before(owner: Any, name: str, after: int, kind: Callable[[str], BaseException] = RuntimeError) -> None:
        function, throw = getattr(owner, name), quoting(kind, after)

        def both(*arguments: Any, **named: Any) -> Any:
            throw()
            return function(*arguments, **named)

        setattr(owner, name, both)

    import sqlite3

    stages: dict[str, tuple[Any, str, int]] = {
        "capture": (Video, "read", 40),
        "detect": (Detector, "find", 40),
        "track": (Tracker, "update", 40),
        "rectify": (ocr, "rectify", 6),
        "ocr": (ocr.Reader, "read", 6),
        "fuse": (pipeline.Passage, "fuse", 6),
        "match": (decide.Decider, "_match", 2),
        "token": (tokens, "keyed", 0),
    }
    if stage == "outbox":
        before(outbox.Outbox, "_depth", 0, sqlite3.OperationalError)
    else:
        before(*stages[stage])
    assert reveal


MODES: dict[str, Callable[..., None]] = {
    "none": _none,
    "keep": _keep,
    "arena": _arena,
    "flush": _flush, "both": _both, "perturb": _perturb, "pf": _pf, "scrub": _scrub,
    "crop": _crop,
    "input": _input,
    "frame": _frame,
    "passage": _passage,
    "text": _text,
    "log": _log,
    "epoch": _epoch,
    "key": _key,
    "core": _core,
    "raise": _raise,
}

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main()
