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
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import cv2

import edge_anpr
from edge_anpr.camera import rtsp, v4l2
from edge_anpr.camera.box import LatestFrame
from edge_anpr.camera.files import Clip, Folder
from edge_anpr.config import ClipCamera, Config, FolderCamera, RtspCamera, V4l2Camera
from edge_anpr.datatypes import MatchClass, Unusable
from edge_anpr.privacy import keys
from edge_anpr.privacy.seal import sealing
from edge_anpr.privacy.tokens import PassCounter
from edge_anpr.unit.alarms import Alarms
from edge_anpr.unit.arming import Arming
from edge_anpr.unit.capture import Capture, Source
from edge_anpr.unit.clock import utc_of
from edge_anpr.unit.decide import Decider
from edge_anpr.unit.health import Counters
from edge_anpr.unit.hit import Origin
from edge_anpr.unit.inbox import Inbox
from edge_anpr.unit.journal import told
from edge_anpr.unit.lists import Armed, Limits, ListFile, Lists
from edge_anpr.unit.outbox import Outbox, OutboxFull
from edge_anpr.unit.pipeline import DETECTION_THRESHOLD, Material, Pipeline
from edge_anpr.unit.vision import Vision
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.session import Network, shipped
from edge_anpr.watch.opener import Trust
from edge_anpr.watch.ratchet import Ratchet

log = logging.getLogger(__name__)

ENDS = (signal.SIGTERM, signal.SIGINT)
# So often the main thread looks at lists: an end or a withdrawal takes effect this soon.
TICK_S = 1.0


def run(config: Config) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit code; raises Unusable for what a person must mend."""
    # OpenCV starts a pool of threads for work that is smaller than waking them.
    cv2.setNumThreads(config.models.threads)
    stop = threading.Event()
    # Before any thread starts, so that none is interrupted: the main thread alone takes these, when it waits for them.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    trust = Trust(
        keys.trusted(config.watchlist.keys), keys.trusted(config.watchlist.centre_keys), config.watchlist.allow_unsigned
    )
    seal_to = keys.read(config.delivery.seal_to, "x25519", secret=False) if config.delivery.seal_to else None
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
    telling = _Telling(outbox)
    lists = Lists(
        config.unit.id,
        trust,
        Ratchet(config.delivery.outbox.with_name("ratchet.json")),
        Alarms(lambda text: telling.put("alarm", text)),
        _limits(config),
        lambda: _tell_lists(telling, lists, config, networks, boot_id),
    )
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
        lists,
        passes,
        counters,
        origin=Origin(
            boot_id, config.camera.id, config.camera.direction,
            networks["detector"].card.sha256, networks["ocr"].card.sha256,
        ),
        append=sealing(outbox.append, seal_to) if seal_to else outbox.append,
        with_evidence=config.delivery.evidence,
        stills=stills,
        utc_of=utc_of if _paced(config) else lambda _: datetime.now(UTC),
    )  # fmt: skip
    sources = _list_sources(config, trust, boot_id, telling)
    for look in sources:
        look(lists)
    lists.tick(time.monotonic_ns())
    if lists.armed is None:
        _tell_lists(telling, lists, config, networks, boot_id)
    log.info(
        "watching %s %s on %s%s",
        config.camera.source, config.camera.id, networks["detector"].provider,
        "" if lists.armed else "; DISARMED: no plate is read until a list comes that may be used",
    )  # fmt: skip

    capture = Capture(lambda: _open(config), source, box, counters, every_frame=not _paced(config))
    vision = Vision(pipeline, decider, lists, passes, box, counters)
    failures: list[BaseException] = []
    threads = [
        _thread("capture", lambda: capture.run(stop), failures),
        _thread("vision", lambda: vision.run(stop, capture.recycle), failures),
    ]
    try:
        told_s = -config.health.interval_s
        while signal.sigtimedwait(ENDS, min(TICK_S, config.health.interval_s)) is None:
            lists.tick(time.monotonic_ns())
            for look in sources:
                look(lists)
            if time.monotonic() - told_s >= config.health.interval_s:
                told_s = time.monotonic()
                telling.put("health", counters.tell(box.drops, passes.distinct, armed=lists.armed is not None))
    finally:
        stop.set()
        box.close()
        for thread in threads:
            thread.join(1.0)
    if failures:
        if isinstance(failures[0], Unusable):
            raise failures[0]
        return 1
    telling.put("health", counters.tell(box.drops, passes.distinct, armed=lists.armed is not None))
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


def _list_sources(config: Config, trust: Trust, boot_id: str, telling: _Telling) -> list[Callable[[Lists], None]]:
    """Where lists come from; each is looked at again and again."""
    rules = config.watchlist
    sources: list[Callable[[Lists], None]] = []
    if rules.path is not None:
        sources.append(ListFile(rules.path, must=not _is_live(config)).look)
        if _is_live(config):
            log.warning(
                "the list lies on this unit's disk, and whoever takes the disk has it; see watchlist.source: arm"
            )
    if rules.centre_keys:
        sources.append(
            Arming(
                config.unit.id, boot_id, trust.centre, Inbox(rules.inbox), lambda text: telling.put("arm", text),
                asks=rules.source == "arm",
                identity=keys.read(rules.identity, "ed25519", secret=True) if rules.identity else None,
            ).look
        )  # fmt: skip
    return sources


def _limits(config: Config) -> Limits:
    rules = config.watchlist
    return Limits(
        rules.most_entries, rules.false_hits_per_day, rules.passages_per_day, rules.most_hits_percent,
        MatchClass(rules.match),
    )  # fmt: skip


def _tell_lists(telling: _Telling, lists: Lists, config: Config, networks: dict[str, Network], boot_id: str) -> None:
    """Leave for the publisher what changes with the list: birth and status."""
    armed = lists.armed
    status = {"status": "armed"} if armed else {"status": "disarmed", "reason": lists.why_disarmed}
    telling.put("status", _json(status))
    telling.put("birth", _birth(config, networks, armed, boot_id))


def _birth(config: Config, networks: dict[str, Network], armed: Armed | None, boot_id: str) -> bytes:
    header = armed.header if armed else None
    body = {
        "schema": "anpr.birth/1",
        "boot_id": boot_id,
        "version": edge_anpr.__version__,
        "versions": {name: version(name) for name in ("onnxruntime", "numpy")} | {"opencv": cv2.__version__},
        "camera": {"id": config.camera.id, "source": config.camera.source},
        "models": {name: {"sha256": item.card.sha256, "provider": item.provider} for name, item in networks.items()},
        "list": None if armed is None else {
            "list_id": armed.header.list_id,
            "version": armed.header.version,
            "sha256": armed.digest,
            "entries": len(armed.matcher),
            "key_id": armed.key_id,
        },
        "mandate": None if header is None else {
            "regime": header.mandate.regime,
            "reference": header.mandate.reference,
            "authority": header.mandate.authority,
        },
    }  # fmt: skip
    return _json(body)


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
