"""A network camera that is cut off ten times, in two ways, and comes back: the whole recogniser in front of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from edge_anpr import demo
from edge_anpr.unit.outbox import Outbox
from tests.conftest import Process, free_port, until

CUTS = 10
STALL_S = 2.0
MOST_MB = 4.0
pytestmark = pytest.mark.system


class Unit:
    def __init__(self, folder: Path, port: int) -> None:
        config = folder / "unit.yaml"
        config.write_text(
            "unit: {org: town, site: bridge, id: pole-07}\n"
            f"camera: {{source: rtsp, url: 'rtsp://127.0.0.1:{port}/road', stall_s: {STALL_S}}}\n"
            f"watchlist: {{path: {json.dumps(str(demo.FOLDER / 'watchlist.json'))}, allow_unsigned: true}}\n"
            "delivery: {outbox: outbox.db}\nhealth: {interval_s: 0.5}\n"
        )
        self.process = Process([sys.executable, "-m", "edge_anpr", "recognise", "-c", str(config)], folder / "log")
        self.process.start()
        until(lambda: "watching" in self.process.said(), 60)
        self._outbox = Outbox(folder / "outbox.db", 10**9)

    def health(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self._outbox.state("health") or b"{}")
        return told

    def alarms(self) -> list[str]:
        return [alarm["code"] for alarm in json.loads(self._outbox.state("alarm") or b'{"active": []}')["active"]]

    def size(self) -> tuple[float, int]:
        """Resident MB and descriptors, the least of several looks: a frame in the making is no leak."""
        assert self.process.running is not None
        place = Path(f"/proc/{self.process.running.pid}")
        looks = []
        for _ in range(20):
            rss = next(line for line in (place / "status").read_text().splitlines() if line.startswith("VmRSS:"))
            looks.append((int(rss.split()[1]) / 1024, len(list((place / "fd").iterdir()))))
            time.sleep(0.1)
        return min(mb for mb, _ in looks), min(fds for _, fds in looks)

    def runs(self, since: dict[str, Any]) -> None:
        """Wait until it looks at frames, and finds plates in them, that it had not at ``since``."""
        until(lambda: self.health().get("state") == "running" and self.health()["frames"] > since["frames"] + 10, 30)
        until(lambda: self.health()["detections"] > since["detections"], 30)

    def close(self) -> None:
        self._outbox.close()
        self.process.kill()


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[tuple[Process, int]]:
    needs = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    if subprocess.run(["/usr/bin/python3", "-c", needs], capture_output=True, check=False).returncode:
        pytest.fail("gir1.2-gst-rtsp-server-1.0 or python3-gi is missing; `make system-test` installs it")
    port = free_port()
    command = ["/usr/bin/python3", str(Path(__file__).with_name("rtsp_server.py")), str(port)]
    server = Process([*command, str(demo.FOLDER / "clip.mp4")], tmp_path / "camera.log")
    server.start()
    yield server, port
    server.kill()


@pytest.fixture
def unit(tmp_path: Path, camera: tuple[Process, int]) -> Iterator[Unit]:
    made = Unit(tmp_path, camera[1])
    yield made
    made.close()


def no_power(server: Process, lost: Callable[[], None]) -> None:
    server.kill()
    lost()
    server.start()


def silence(server: Process, lost: Callable[[], None]) -> None:
    """It keeps the connection and sends nothing."""
    assert server.running is not None
    server.running.send_signal(signal.SIGSTOP)
    lost()
    server.running.send_signal(signal.SIGCONT)


def test_a_camera_that_is_cut_off_ten_times_is_had_back_each_time_and_leaves_nothing_behind(
    camera: tuple[Process, int], unit: Unit
) -> None:
    server, _ = camera
    unit.runs({"frames": 0, "detections": 0})
    sizes = []
    for cut in range(CUTS):
        before = unit.health()

        def lost(before: dict[str, Any] = before) -> None:
            until(lambda: unit.health()["source_losses"] > before["source_losses"], 30)
            until(lambda: "camera-lost" in unit.alarms(), 10)

        (no_power, silence)[cut % 2](server, lost)
        unit.runs(unit.health())
        until(lambda: unit.alarms() == [], 10)
        sizes.append(unit.size())
    sys.stderr.write(f"{sizes} {unit.health()}\n")
    assert unit.health()["source_losses"] >= CUTS
    # What is freed goes back to the kernel now and then, so that one size differs from the next by 10 MB and more.
    early, late = sizes[: CUTS // 2], sizes[CUTS // 2 :]
    assert median(mb for mb, _ in late) - median(mb for mb, _ in early) <= MOST_MB
    assert max(fds for _, fds in late) <= max(fds for _, fds in early)
    assert unit.process.said().count("the camera is back") == CUTS
    assert unit.process.running is not None
    unit.process.running.terminate()
    assert unit.process.ends() == 0
