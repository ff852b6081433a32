"""The process that sees plates: camera, models and list in; hits into the outbox. It has no network.

Threads: *capture* (camera → latest-frame box), *vision* (box → pipeline → decision → outbox), *main* (signals, health).
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from edge_anpr.camera.box import LatestFrame
from edge_anpr.camera.exposure import Dusk, Profile
from edge_anpr.camera.files import Clip, Folder
from edge_anpr.config import (
    ClipCamera,
    Config,
    FolderCamera,
    GstreamerCamera,
    LiveCamera,
    PiCamera,
    RtspCamera,
    V4l2Camera,
)
from edge_anpr.datatypes import MatchClass
from edge_anpr.errors import Unusable
from edge_anpr.privacy import keys, process
from edge_anpr.privacy.seal import sealing
from edge_anpr.privacy.tokens import PassCounter
from edge_anpr.unit import journal
from edge_anpr.unit import telling as tell
from edge_anpr.unit.alarms import Alarms
from edge_anpr.unit.arming import Arming
from edge_anpr.unit.attention import Attention
from edge_anpr.unit.capture import PATIENCE_S, Capture
from edge_anpr.unit.clock import utc_of
from edge_anpr.unit.decide import Decider
from edge_anpr.unit.events import event
from edge_anpr.unit.footprint import give_back_files
from edge_anpr.unit.governor import Governor
from edge_anpr.unit.health import Counters
from edge_anpr.unit.hit import Origin
from edge_anpr.unit.inbox import Inbox
from edge_anpr.unit.journal import told
from edge_anpr.unit.lists import Limits, ListFile, Lists
from edge_anpr.unit.outbox import Outbox, OutboxError
from edge_anpr.unit.pipeline import DETECTION_THRESHOLD, Material, Pipeline
from edge_anpr.unit.pulse import WorkerHangs
from edge_anpr.unit.rounds import Rounds
from edge_anpr.unit.vision import Vision
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.session import Card, Network, networks
from edge_anpr.watch.opening import Trust
from edge_anpr.watch.ratchet import Ratchet

if TYPE_CHECKING:
    from edge_anpr.unit.capture import Source

log = logging.getLogger(__name__)


ENDS = (signal.SIGTERM, signal.SIGINT)
# So often the main thread looks at lists: an end or a withdrawal takes effect this soon.
TICK_S = 1.0
# A look that is under way takes so long at most; systemd waits ten seconds.
GOODBYE_S = 5.0
# And so often until the networks have run: systemd, and whoever installs, waits for that word.
BEGINS_S = 0.1
# Mean luminance aimed at. A plate throws infrared back where it came from: a picture as bright as by day burns it out.
DAY_LUMA, NIGHT_LUMA = 110.0, 60.0
# Before a network camera answers or not its name is looked up, which waits for up to three deaf name servers twice.
NAME_S = 40.0


def run(config: Config) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit code; raises Unusable for what a person must mend."""
    process.harden()
    journal.name_camera(config.camera.id)
    # OpenCV starts a pool of threads for work that is smaller than waking them.
    cv2.setNumThreads(config.models.threads)
    stop = threading.Event()
    # Before any thread starts, so that none is interrupted: the main thread alone takes these, when it waits for them.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    rules, seal_to, loaded = config.watchlist, config.delivery.seal_to, _networks(config)
    trust = Trust(keys.trusted(rules.keys), keys.trusted(rules.centre_keys), rules.allow_unsigned)
    counters, box = Counters(), LatestFrame()
    capture = _capture(config, loaded["detector"].card, box, counters)
    outbox = Outbox(config.delivery.outbox, config.delivery.max_megabytes * 1_000_000, "recogniser")
    boot_id = secrets.token_hex(8)
    telling = tell.Telling(outbox)

    def tell_lists() -> None:
        telling.put("status", tell.status(lists))
        telling.put("birth", tell.birth(config, loaded, lists, boot_id))

    alarms = Alarms(lambda text: telling.put("alarm", text))
    lists = Lists(
        config.unit.id,
        trust,
        Ratchet(config.delivery.outbox.with_name("ratchet.json")),
        alarms,
        _limits(config),
        tell_lists,
    )
    passes = PassCounter(config.privacy.epoch_minutes * 60_000_000_000)
    stills, part = isinstance(config.camera, FolderCamera), config.camera.region
    region = None if part is None else (part.left, part.top, part.width, part.height)
    pipeline = Pipeline(
        Detector(loaded["detector"], DETECTION_THRESHOLD, region[2:] if region and not stills else (1.0, 1.0)),
        Reader(loaded["ocr"]),
        Material.STILL if stills else Material.LIVE,
    )
    decider = Decider(
        pipeline,
        lambda: lists.armed,
        passes,
        counters,
        origin=Origin(
            f"{config.unit.org}/{config.unit.site}/{config.unit.id}", boot_id,
            config.camera.id, config.camera.direction,
            loaded["detector"].card.sha256, loaded["ocr"].card.sha256,
        ),
        append=outbox.append if seal_to is None else sealing(outbox.append, keys.read(seal_to, "x25519", secret=False)),
        with_evidence=config.delivery.evidence,
        stills=stills,
        utc_of=utc_of if _paced(config) else lambda _: datetime.now(UTC),
    )  # fmt: skip
    sources = _list_sources(config, trust, boot_id, telling)
    _begin(lists, sources, tell_lists)
    log.info("watching %s %s on %s", config.camera.source, config.camera.id, loaded["detector"].provider)

    governor = Governor(alarms)
    attention = None if stills else Attention(lambda: governor.rate)
    vision = Vision(pipeline, decider, lists, passes, box, counters, attention, region)
    rounds = Rounds(
        config.health.interval_s, telling, counters, box, lists, passes,
        sources=sources,
        outbox=outbox,
        capture=capture,
        alarms=alarms,
        decider=decider,
        governor=governor,
        pulses=(capture.pulse, vision.pulse),
    )  # fmt: skip
    failures: list[BaseException] = []
    threads = [
        _thread("capture", lambda: capture.run(stop), failures),
        _thread("vision", lambda: vision.run(stop, capture.recycle), failures),
    ]
    try:
        every_s = min(TICK_S, config.health.interval_s)
        _until_told_to_end(rounds.turn, lambda: every_s if vision.pulse.begun else BEGINS_S)
    except (OutboxError, WorkerHangs) as error:
        log.critical("%s", error, extra=event("stopped"))
        return 1
    finally:
        rounds.stopping()
        stop.set()
        box.close()
        # A thread that is in the middle of a pass when the interpreter ends takes the process down with SIGABRT.
        patience = time.monotonic() + GOODBYE_S
        for thread in threads:
            thread.join(max(patience - time.monotonic(), 0.0))
    if failures:
        if isinstance(failures[0], Unusable):
            raise failures[0]
        return 1
    telling.put("health", counters.tell(box.drops, governor, armed=lists.armed is not None))
    outbox.close()
    log.info("stopped")
    return 0


def _begin(lists: Lists, sources: list[Callable[[Lists], None]], tell_lists: Callable[[], None]) -> None:
    if process.may_swap():
        log.warning(
            "memory that showed plates may be swapped to a disk: set MemorySwapMax=0 for this service",
            extra=event("may-swap"),
        )
    for look in sources:
        look(lists)
    lists.tick(time.monotonic_ns())
    if lists.armed is None:
        tell_lists()
        log.warning("DISARMED: no plate is read until a list comes that may be used", extra=event("disarmed"))
    give_back_files()  # all is loaded, and no thread of ours runs that could map something else meanwhile


def _until_told_to_end(tick: Callable[[], None], pause_s: Callable[[], float]) -> None:
    # A library's thread that is older than our mask may be given the signal while we are in a tick; without a handler
    # that would be the end of the process, in the middle of everything.
    told: list[int] = []
    for number in ENDS:
        signal.signal(number, lambda number, _frame: told.append(number))
    # A process that was stopped and goes on (SIGCONT) gets an empty answer, which is none of these.
    while not told and ((sign := signal.sigtimedwait(ENDS, pause_s())) is None or sign.si_signo not in ENDS):
        tick()


def _thread(name: str, work: Callable[[], None], failures: list[BaseException]) -> threading.Thread:
    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  a thread that dies takes the process with it
            failures.append(error)
            log.critical("%s stopped by %s", name, told(error), extra=event("stopped"))
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=guarded, name=name, daemon=True)
    thread.start()
    return thread


def _networks(config: Config) -> dict[str, Network]:
    models = config.models
    # systemd's, which is nobody else's: an engine is code, and beside the outbox the publisher writes, too.
    cache = Path(os.environ.get("CACHE_DIRECTORY") or config.delivery.outbox.with_name("engines"))
    return networks(models.detector, models.ocr, provider=models.provider, threads=models.threads, cache=cache)


def _capture(config: Config, detector: Card, box: LatestFrame, counters: Counters) -> Capture:
    camera, open_source = config.camera, _opener(config, detector)
    if isinstance(camera, LiveCamera):
        return Capture(
            open_source, None, box, counters,
            every_frame=False,
            frozen_s=camera.frozen_s,
            patience_s=PATIENCE_S + camera.stall_s + (NAME_S if isinstance(camera, RtspCamera) else 0.0),
        )  # fmt: skip
    # A file that cannot be read is told before anything starts.
    every_frame = not _paced(config)
    return Capture(open_source, open_source(), box, counters, every_frame=every_frame, patience_s=PATIENCE_S)


def _opener(config: Config, detector: Card) -> Callable[[], Source]:
    """Opens the camera; what that takes is loaded here, for other cameras' half a megabyte each is of no use."""
    camera = config.camera
    match camera:
        case ClipCamera():
            return lambda: Clip(camera.path, live=camera.pace == "live")
        case FolderCamera():
            return lambda: Folder(camera.path)
        case RtspCamera():
            from edge_anpr.camera import rtsp  # noqa: PLC0415

            return lambda: rtsp.RtspCamera(camera.url, camera.stall_s)
        case V4l2Camera():
            from edge_anpr.camera import v4l2  # noqa: PLC0415

            return lambda: v4l2.V4l2Camera(
                camera.device, camera.width, camera.height, camera.fps, camera.stall_s, camera.pixels,
                exposure_us=camera.exposure_us, gain=camera.gain, focus=camera.focus,
            )  # fmt: skip
        case GstreamerCamera():
            from edge_anpr.camera import gstreamer  # noqa: PLC0415

            pipeline = camera.pipeline or gstreamer.jetson(
                camera.number, camera.width, camera.height, camera.fps, camera.shutter_us, camera.gain
            )
            return lambda: gstreamer.GstreamerCamera(pipeline, camera.stall_s)
        case PiCamera():
            return _pi_opener(camera, detector)


def _pi_opener(camera: PiCamera, detector: Card) -> Callable[[], Source]:
    from edge_anpr.camera import picamera2  # noqa: PLC0415

    size = camera.width, camera.height
    # The night outlives a camera that is lost for a moment.
    dusk = Dusk(camera.night_below_lux, camera.day_above_lux, picamera2.HOLD_S)
    return lambda: picamera2.PiCamera(
        camera.number, size, picamera2.second_stream(size, (detector.width, detector.height)), camera.fps,
        camera.stall_s,
        Profile(camera.day_shutter_us, camera.day_gain, DAY_LUMA),
        Profile(camera.night_shutter_us, camera.night_gain, NIGHT_LUMA),
        dusk,
        light=camera.light, lens_position=camera.lens_position, zoom=camera.zoom, aim=(camera.aim_x, camera.aim_y),
    )  # fmt: skip


def _is_live(config: Config) -> bool:
    return isinstance(config.camera, LiveCamera)


def _paced(config: Config) -> bool:
    return _is_live(config) or (isinstance(config.camera, ClipCamera) and config.camera.pace == "live")


def _list_sources(config: Config, trust: Trust, boot_id: str, telling: tell.Telling) -> list[Callable[[Lists], None]]:
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
