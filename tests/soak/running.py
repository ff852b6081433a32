"""A soak: the recogniser and the publisher as processes, a broker, and a look at them every few seconds."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edge_anpr.unit.outbox import Outbox
from tests.conftest import Broker, Process, Subscriber, free_port, until
from tests.soak import endless, road
from tests.soak.judge import Sample, Soak
from tests.systemd.conftest import PYTHON3_SYSTEMD, NotifySocket

ROOT = Path(__file__).resolve().parents[2]
WATCHDOG_S = 30.0  # as in edge-anpr-recogniser.service
HEARTBEAT_S = 5.0
TELL_S = 60.0
UNIT = """\
unit: {{org: town, site: bridge, id: pole-07}}
camera: {{source: clip, path: road.avi, pace: fast, region: {region}}}
watchlist: {{path: list.json, allow_unsigned: true}}
privacy: {{epoch_minutes: 1}}
delivery: {{outbox: state/outbox.db}}
mqtt: {{host: 127.0.0.1, port: {port}}}
health: {{interval_s: {heartbeat_s}}}
"""
LIST = {
    "schema": "anpr.list/1", "list_id": "soak", "version": 1, "units": ["*"],
    "valid_from": "2026-01-01T00:00:00Z", "valid_until": "2099-12-31T23:59:59Z",
    "mandate": {
        "regime": "test", "reference": "never-issued plates", "authority": "nobody",
        "not_after": "2099-12-31T23:59:59Z",
    },
}  # fmt: skip


def run(
    folder: Path,
    frames: int,
    *,
    every_s: float = 10.0,
    watchdog_s: float = WATCHDOG_S,
    sabotage: str = "",
    tell: Callable[[Soak], None] = lambda _: None,
) -> Soak:
    """Let a unit look at so many frames; ``tell`` is called once a minute. Descriptors can be counted by root only."""
    port = free_port()
    _lay(folder, port)
    soak = Soak(frames, watchdog_s)
    with ExitStack() as stack:
        notify = NotifySocket(folder / "notify")
        stack.callback(notify.close)
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        broker = Broker([program, "-c", str(folder / "mosquitto.conf")], folder / "mosquitto.log", port)
        stack.callback(broker.kill)
        broker.start()
        ear = Subscriber(port)
        stack.callback(ear.close)
        config = str(folder / "unit.yaml")
        publisher = Process([sys.executable, "-m", "edge_anpr", "publish", "-c", config], folder / "publish.log")
        stack.callback(publisher.kill)
        publisher.start()
        with (folder / "recognise.log").open("wb") as said:
            recogniser = subprocess.Popen(
                [sys.executable, endless.__file__, config, str(frames), sabotage],
                env=notify.environment(_systemd_python(folder), watchdog_s) | {"OPENBLAS_NUM_THREADS": "1"},
                stdout=said,
                stderr=said,
            )
        stack.callback(recogniser.kill)
        until(lambda: notify.heard("READY=1") or recogniser.poll() is not None, 60)
        outbox = Outbox(folder / "state/outbox.db", 10**9)
        stack.callback(outbox.close)
        assert publisher.running is not None
        _watch(soak, recogniser, publisher.running.pid, notify, outbox, every_s, tell)
        recogniser.terminate()
        soak.code = recogniser.wait(20)
        until(lambda: not outbox.depth().hits, 30)
        soak.delivered = len(ear.payloads("/hit/"))
    return soak


def _watch(
    soak: Soak, recogniser: subprocess.Popen[bytes], publisher: int, notify: NotifySocket, outbox: Outbox,
    every_s: float, tell: Callable[[Soak], None],
) -> None:  # fmt: skip
    begin = told = looked = time.monotonic()
    while recogniser.poll() is None and soak.health.get("state") != "ended":
        heard = notify.heard("WATCHDOG=1")  # often, for it is here that the time of each is taken
        time.sleep(0.05)
        now = time.monotonic()
        if now - looked < every_s:
            continue
        looked = now
        soak.beats_s = [round(at - begin, 2) for at, _ in heard]
        soak.health = json.loads(outbox.state("health") or b"{}")
        if recogniser.poll() is None and soak.health.get("state") != "ended":
            soak.samples.append(_sample(now - begin, soak.health, recogniser.pid, publisher, outbox))
        if now - told >= TELL_S:
            told = now
            tell(soak)


def _sample(at_s: float, health: dict[str, Any], recogniser: int, publisher: int, outbox: Outbox) -> Sample:
    return Sample(
        at_s=round(at_s, 1),
        frames=health.get("frames", 0),
        rss_mb=round(_rss_mb(recogniser), 2),
        fds=len(list(Path(f"/proc/{recogniser}/fd").iterdir())),
        threads=len(list(Path(f"/proc/{recogniser}/task").iterdir())),
        publisher_mb=round(_rss_mb(publisher), 2),
        waiting=outbox.depth().hits,
    )


def _rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


def _lay(folder: Path, port: int) -> None:
    (folder / "state").mkdir(parents=True, exist_ok=True)
    (folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    plates = road.draw(folder / "road.avi")
    entry = {"country": "NL", "reason": "soak", "not_after": "2099-12-31T23:59:59Z", "priority": 1}
    (folder / "list.json").write_text(json.dumps(LIST | {"entries": [{"plate": plates[0], **entry}]}))
    (folder / "unit.yaml").write_text(UNIT.format(port=port, heartbeat_s=HEARTBEAT_S, region=road.REGION))


def _systemd_python(folder: Path) -> Path:
    """Debian's package for words to systemd, and nothing else of Debian's."""
    place = folder / "python3-systemd"
    place.mkdir(exist_ok=True)
    (place / "systemd").symlink_to(PYTHON3_SYSTEMD)
    return place
