"""A unit on a pole with its broker, in a container; and the control room, on this machine, on the same network."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2

from edge_anpr import demo
from tests.system.container import Container, within
from tests.system.root import CACHE

RECOGNISER, PUBLISHER = SERVICES = ("edge-anpr-recogniser", "edge-anpr-publisher")
REPOSITORY = Path(__file__).parents[2]
TRUTH = json.loads((demo.FOLDER / "truth.json").read_text())["passages"]
PLATES = [passage["plate"] for passage in TRUTH]
LISTED = {passage["plate"] for passage in TRUTH if passage["listed"]}
ROUNDS = 8  # of the demo's clip, 42 s each
BROKER = "mqtt.example.org"
CONFIG = """\
unit: {org: town, site: bridge, id: pole-07}
camera: {source: clip, path: /usr/share/demo-clip.mp4, pace: live}
watchlist:
  path: watchlist.signed
  keys: [authority.pub]
  centre_keys: [ticket.pub]
  identity: credential:edge-anpr.identity
  most_hits_percent: 100
delivery: {seal_to: hits.pub, until: receipt, receipt_keys: [receipt.pub]}
mqtt:
  host: mqtt.example.org
  port: 8883
  tls: {ca: ca.pem, certificate: unit.pem, key: credential:edge-anpr.tls-key}
health: {interval_s: 5}
"""


def edge_anpr(*arguments: str | Path) -> None:
    """This checkout's own program, on this machine."""
    subprocess.run([sys.executable, "-m", "edge_anpr", *map(str, arguments)], cwd=REPOSITORY, check=True)


def records(database: Path, query: str) -> list[tuple[Any, ...]]:
    """Rows of a centre's records; none while there are no tables."""
    if not database.exists():
        return []
    opened = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return list(opened.execute(query))
    except sqlite3.OperationalError:
        return []
    finally:
        opened.close()


class ControlRoom:
    """Keys, certificates and records."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority, self.keys = folder / "authority", folder / "keys"
        self._serve: subprocess.Popen[bytes] | None = None
        edge_anpr("centre", "keygen", self.keys)
        edge_anpr("watchlist", "keygen", folder / "pole-07")
        edge_anpr("provision", "ca", self.authority)
        edge_anpr("provision", "broker", self.authority, "--name", BROKER, "--ip", "127.0.0.1")
        edge_anpr("provision", "centre", self.authority)
        edge_anpr("provision", "unit", self.authority, "--org", "town", "--site", "bridge", "--unit", "pole-07")

    def issued(self, name: str) -> Path:
        return next(self.authority.rglob(name))

    def serve(self, at: Container) -> None:
        program: list[str | Path] = [
            sys.executable, "-m", "edge_anpr", "centre", "serve", "--broker", "127.0.0.1:8883",
            "--ca", self.issued("ca.pem"), "--certificate", self.issued("centre.pem"),
            "--tls-key", self.issued("centre.key"), "--key", self.keys / "hits.key",
            "--receipt-key", self.keys / "receipt.key", "--db", f"sqlite:///{self.folder}/records.db",
        ]  # fmt: skip
        with (self.folder / "serve.log").open("ab") as log:
            self._serve = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *at.entering(*program, network_only=True)],
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def records(self, query: str) -> list[tuple[Any, ...]]:
        return records(self.folder / "records.db", query)

    def close(self) -> None:
        if self._serve is not None:
            self._serve.terminate()
            try:
                self._serve.wait(10)
            except subprocess.TimeoutExpired:
                self._serve.kill()
                self._serve.wait()


def furnish(pole: Container, room: ControlRoom) -> None:
    """What a technician brings: config, keys, list; and a clip instead of a camera."""
    etc, credentials = pole.path("/etc/edge-anpr"), pole.path("/etc/credstore")
    credentials.mkdir(mode=0o700, exist_ok=True)
    (etc / "unit.yaml").write_text(CONFIG)
    for source in (
        demo.FOLDER / "watchlist.signed", demo.FOLDER / "authority.pub", room.issued("ca.pem"), room.issued("unit.pem"),
        *(room.keys / f"{name}.pub" for name in ("ticket", "hits", "receipt")),
    ):  # fmt: skip
        shutil.copy(source, etc)
    shutil.copy(room.issued("unit.key"), credentials / "edge-anpr.tls-key")
    shutil.copy(room.folder / "pole-07.key", credentials / "edge-anpr.identity")
    pole.run(
        "sh", "-c", "chown root:edge-anpr /etc/edge-anpr/*; chmod 640 /etc/edge-anpr/*; chmod 600 /etc/credstore/*"
    )
    shutil.copy(long_clip(), pole.path("/usr/share/demo-clip.mp4"))


def with_broker(pole: Container, room: ControlRoom) -> None:
    """The broker as it ships, on the same machine, under the name that the unit knows."""
    with pole.path("/etc/hosts").open("a") as hosts:
        hosts.write(f"127.0.0.1 localhost {BROKER}\n")
    broker = pole.path("/root/broker")
    shutil.copytree(REPOSITORY / "deploy" / "broker", broker)
    for name in ("ca.pem", "broker.pem", "broker.key", "crl.pem", "acl"):
        shutil.copy(room.issued(name), broker)
    pole.run(
        "sh", "-ec",
        "cd /root/broker; "
        "install -D -m 644 mosquitto.service.conf /etc/systemd/system/mosquitto.service.d/edge-anpr.conf; "
        "systemctl daemon-reload; ./install mosquitto.conf ca.pem broker.pem broker.key crl.pem acl --restart",
    )  # fmt: skip


def long_clip() -> Path:
    """The demo's clip several times over, made once: a recogniser ends with its clip, and is started again."""
    clip = demo.FOLDER / "clip.mp4"
    made = CACHE / f"demo-{hashlib.sha256(clip.read_bytes()).hexdigest()[:12]}-{ROUNDS}.mp4"
    if not made.exists():
        part = made.with_suffix(".part.mp4")
        video = cv2.VideoCapture(str(clip))
        frames = [frame for _, frame in iter(video.read, (False, None))]
        height, width = frames[0].shape[:2]
        code, fps = cv2.VideoWriter.fourcc(*"mp4v"), video.get(cv2.CAP_PROP_FPS)
        writer = cv2.VideoWriter(str(part), code, fps, (width, height))
        for frame in ROUNDS * frames:
            writer.write(frame)
        writer.release()
        part.rename(made)
    return made


class Service:
    """One of the two in a running container."""

    def __init__(self, pole: Container, name: str) -> None:
        self.pole, self.name = pole, name

    @property
    def pid(self) -> int:
        return int(self.pole.show(self.name, "MainPID"))

    @property
    def state(self) -> str:
        return self.pole.show(self.name, "ActiveState")

    @property
    def restarts(self) -> int:
        return int(self.pole.show(self.name, "NRestarts"))

    @property
    def status(self) -> str:
        return self.pole.show(self.name, "StatusText")

    def signal(self, name: str) -> None:
        self.pole.run("systemctl", "kill", "--kill-whom=main", f"--signal={name}", self.name)

    def comes_back(self, after: int, timeout_s: float) -> float:
        """Seconds until another process than ``after`` has said READY."""
        return within(lambda: self.state == "active" and self.pid not in (0, after), timeout_s)


def waiting(pole: Container) -> set[tuple[str, str]]:
    """hit_id and phase of all that lies in the outbox."""
    script = (
        "import sqlite3; base = sqlite3.connect('file:/var/lib/edge-anpr/outbox.db?mode=ro', uri=True)\n"
        "for row in base.execute('SELECT hit_id, phase FROM hit'): print(*row)"
    )
    return {
        (hit_id, phase) for hit_id, phase in (line.split() for line in pole.run("python3", "-c", script).splitlines())
    }


def explained(pole: Container, event: str, language: str = "C.UTF-8") -> str:
    """What ``journalctl -x`` says of the last of these."""
    return pole.run(
        "env", "LC_ALL=", f"LC_MESSAGES={language}", "LC_CTYPE=C.UTF-8",
        "journalctl", "-x", "--no-pager", "-n1", f"EDGE_ANPR_EVENT={event}",
    )  # fmt: skip


def moments(pole: Container, service: str) -> dict[str, float]:
    """Seconds of the kernel's clock at which the service began, was ready, and met its first events of each kind."""
    wanted = {"began": "ExecMainStartTimestampMonotonic", "ready": "ActiveEnterTimestampMonotonic"}
    found = {name: int(pole.show(service, key)) / 1e6 for name, key in wanted.items()}
    invocation = pole.show(service, "InvocationID")
    for line in pole.journal("-b", "-o", "json", f"_SYSTEMD_INVOCATION_ID={invocation}").splitlines():
        entry = json.loads(line)
        if (event := entry.get("EDGE_ANPR_EVENT")) is not None:
            found.setdefault(event, int(entry["__MONOTONIC_TIMESTAMP"]) / 1e6)
    return found


def seconds(text: str) -> float:
    """``1min 2.5s`` of systemd-analyze."""
    units = {"min": 60, "s": 1, "ms": 0.001, "us": 1e-6}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(min|ms|us|s)\b", text))
