"""The process that sees plates: camera, models and list in; hits into the outbox. It has no network.

Threads: *capture* (camera → latest-frame box), *vision* (box → pipeline → decision → outbox), *main* (signals, health).
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version

import cv2

import edge_anpr
from edge_anpr.camera import rtsp, v4l2
from edge_anpr.camera.box import LatestFrame
from edge_anpr.camera.files import Clip, Folder
from edge_anpr.config import ClipCamera, Config, FolderCamera, RtspCamera, V4l2Camera
from edge_anpr.datatypes import Unusable
from edge_anpr.privacy import process
from edge_anpr.privacy.tokens import Hour, PassCounter
from edge_anpr.unit.capture import Capture, Source
from edge_anpr.unit.clock import utc_of
from edge_anpr.unit.decide import Decider
from edge_anpr.unit.health import Counters
from edge_anpr.unit.hit import Origin
from edge_anpr.unit.journal import told
from edge_anpr.unit.outbox import Outbox, OutboxFull
from edge_anpr.unit.pipeline import DETECTION_THRESHOLD, Material, Pipeline
from edge_anpr.unit.vision import Vision
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.session import Network, shipped
from edge_anpr.watch import watchlist as watchlists
from edge_anpr.watch.matcher import Matcher

log = logging.getLogger(__name__)

ENDS = (signal.SIGTERM, signal.SIGINT)


def run(config: Config) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit code; raises Unusable for what a person must mend."""
    process.harden()
    # OpenCV starts a pool of threads for work that is smaller than waking them.
    cv2.setNumThreads(config.models.threads)
    stop = threading.Event()
    # Before any thread starts, so that none is interrupted: the main thread alone takes these, when it waits for them.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    watchlist = watchlists.load(
        config.watchlist.path,
        config.unit.id,
        allow_unsigned=config.watchlist.allow_unsigned,
        now=datetime.now(UTC),
    )
    matcher = Matcher(watchlist.entries)
    watchlist = replace(watchlist, entries=())  # from here on the list's plates exist as tokens only
    models = config.models
    networks = {
        "detector": Network(
            models.detector or shipped("detector"),
            "detector",
            "quad-s8",
            provider=models.provider,
            threads=models.threads,
        ),
        "ocr": Network(models.ocr or shipped("ocr"), "ocr", "ctc", provider=models.provider, threads=models.threads),
    }
    source = None if _is_live(config) else _open(config)  # a file that cannot be read is told before anything starts
    outbox = Outbox(config.delivery.outbox, config.delivery.max_megabytes * 1_000_000, "recogniser")
    boot_id = secrets.token_hex(8)
    counters, box = Counters(), LatestFrame()
    passes = PassCounter(config.privacy.epoch_minutes * 60_000_000_000)
    stills = isinstance(config.camera, FolderCamera)
    pipeline = Pipeline(
        Detector(networks["detector"], DETECTION_THRESHOLD),
        Reader(networks["ocr"]),
        Material.STILL if stills else Material.LIVE,
    )
    decider = Decider(
        pipeline,
        matcher,
        passes,
        counters,
        origin=Origin(
            boot_id, config.camera.id, config.camera.direction,
            networks["detector"].card.sha256, networks["ocr"].card.sha256,
        ),
        watchlist=watchlist,
        append=outbox.append,
        with_evidence=config.delivery.evidence,
        stills=stills,
        utc_of=utc_of if _paced(config) else lambda _: datetime.now(UTC),
    )  # fmt: skip
    telling = _Telling(outbox)
    telling.put("birth", _birth(config, networks, watchlist, len(matcher), boot_id))
    log.info(
        "watching %s %s with list %s version %d (%d entries) on %s",
        config.camera.source, config.camera.id, watchlist.list_id, watchlist.version, len(matcher),
        networks["detector"].provider,
    )  # fmt: skip

    capture = Capture(lambda: _open(config), source, box, counters, every_frame=not _paced(config))
    vision = Vision(pipeline, decider, passes, box, counters)
    failures: list[BaseException] = []
    threads = [
        _thread("capture", lambda: capture.run(stop), failures),
        _thread("vision", lambda: vision.run(stop, capture.recycle), failures),
    ]
    try:
        # A process that was stopped and goes on (SIGCONT) gets an empty answer, which is none of these.
        while (sign := signal.sigtimedwait(ENDS, config.health.interval_s)) is None or sign.si_signo not in ENDS:
            telling.put("health", counters.tell(box.drops))
            if (hour := passes.finished(datetime.now(UTC))) is not None:
                telling.put("stats", _stats(hour))
    finally:
        stop.set()
        box.close()
        for thread in threads:
            thread.join(1.0)
    if failures:
        if isinstance(failures[0], Unusable):
            raise failures[0]
        return 1
    telling.put("health", counters.tell(box.drops))
    outbox.close()
    log.info("stopped")
    return 0


class _Telling:
    """Leaves the recogniser's state for the publisher. A full disk is said once, and costs heartbeats only."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox, self._full = outbox, False

    def put(self, kind: str, payload: bytes) -> None:
        try:
            self._outbox.put_state(kind, payload)
        except OutboxFull as error:
            if not self._full:
                log.error("%s; until then no health is told and hits are refused", error)
            self._full = True
        else:
            if self._full:
                log.info("the outbox takes data again")
            self._full = False


def _thread(name: str, work: Callable[[], None], failures: list[BaseException]) -> threading.Thread:
    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  a thread that dies takes the process with it
            failures.append(error)
            log.critical("%s stopped by %s", name, told(error))
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=guarded, name=name, daemon=True)
    thread.start()
    return thread


def _open(config: Config) -> Source:
    camera = config.camera
    match camera:
        case ClipCamera():
            return Clip(camera.path, live=camera.pace == "live")
        case FolderCamera():
            return Folder(camera.path)
        case RtspCamera():
            return rtsp.RtspCamera(camera.url, camera.stall_s)
        case V4l2Camera():
            return v4l2.V4l2Camera(camera.device, camera.width, camera.height, camera.fps)


def _is_live(config: Config) -> bool:
    return isinstance(config.camera, RtspCamera | V4l2Camera)


def _paced(config: Config) -> bool:
    return _is_live(config) or (isinstance(config.camera, ClipCamera) and config.camera.pace == "live")


def _stats(hour: Hour) -> bytes:
    body = {
        "schema": "anpr.stats/1",
        "hour": f"{hour.start:%Y-%m-%dT%H:00:00Z}",
        "distinct_about": hour.distinct_about,
        "passages_about": hour.passages_about,
    }
    return json.dumps(body, separators=(",", ":")).encode()


def _birth(
    config: Config, networks: dict[str, Network], watchlist: watchlists.Watchlist, entries: int, boot_id: str
) -> bytes:
    body = {
        "schema": "anpr.birth/1",
        "boot_id": boot_id,
        "version": edge_anpr.__version__,
        "versions": {name: version(name) for name in ("onnxruntime", "numpy")} | {"opencv": cv2.__version__},
        "camera": {"id": config.camera.id, "source": config.camera.source},
        "models": {name: {"sha256": item.card.sha256, "provider": item.provider} for name, item in networks.items()},
        "list": {
            "list_id": watchlist.list_id,
            "version": watchlist.version,
            "sha256": watchlist.digest,
            "entries": entries,
            "signed": False,
        },
        "mandate": {"regime": watchlist.mandate.regime, "reference": watchlist.mandate.reference,
                    "authority": watchlist.mandate.authority},
    }  # fmt: skip
    return json.dumps(body, separators=(",", ":")).encode()
