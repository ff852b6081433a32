"""One run of the real unit in front of a clip, and everything it could have left behind looked through."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from proof_clip import FPS, Passage

from tests.conftest import Broker, Subscriber, free_port, until
from tests.privacy.forms import of_text
from tests.privacy.scan import Finding, Needles, files, memory

ROOT = Path(__file__).resolve().parents[2]
SETTLED_S = 2.0
UNIT = """\
unit: {{org: town, site: bridge, id: pole-07}}
camera: {{source: clip, path: {clip}, pace: {pace}}}
watchlist: {{path: {listed}, allow_unsigned: true}}
delivery: {{outbox: {outbox}}}
privacy: {{epoch_minutes: 1}}
mqtt: {{host: 127.0.0.1, port: {port}, keepalive_s: 10}}
health: {{interval_s: 0.5}}
"""


@dataclass(frozen=True, slots=True)
class Look:
    """When to look, and for what: ``after_frame`` is the last that shows any plate of ``needles``.

    None: the last of the clip.
    """

    name: str
    after_frame: int | None
    needles: Needles


@dataclass(slots=True)
class Left:
    """What a unit left behind: findings by look, megabytes that were looked through, and what it said of itself.

    ``alive``: both processes were there at every look, so that there was a memory to go through.
    """

    findings: dict[str, list[Finding]] = field(default_factory=dict)
    megabytes: dict[str, float] = field(default_factory=dict)
    health: dict[str, Any] = field(default_factory=dict)
    alive: bool = True
    hits: list[dict[str, Any]] = field(default_factory=list)
    cores: list[str] = field(default_factory=list)
    hoards: list[str] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    log: str = field(default="", repr=False)

    def all(self) -> list[Finding]:
        return [finding for found in self.findings.values() for finding in found]


class Unit:
    """Broker, publisher, recogniser and a subscriber to everything, in a folder of their own."""

    def __init__(self, folder: Path, clip: Path, listed: Sequence[str], pace: str, mode: str, secret: str) -> None:
        self.folder, self.clip = folder, clip
        folder.mkdir(parents=True)
        port = free_port()
        settings = folder / "mosquitto.conf"
        settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n", "utf-8")
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self._broker = Broker([program, "-v", "-c", str(settings)], folder / "mosquitto.log", port)
        self._broker.start()
        self.ear = Subscriber(port)
        (folder / "list.json").write_text(json.dumps(_list(listed)), "utf-8")
        config = folder / "unit.yaml"
        config.write_text(
            UNIT.format(
                clip=json.dumps(str(clip)),
                pace=pace,
                listed=json.dumps(str(folder / "list.json")),
                outbox=json.dumps(str(folder / "state/outbox.db")),
                port=port,
            ),
            "utf-8",
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PROOF_CLIP": str(clip), "PROOF_PLATE": secret}
        self._processes = {}
        for name in ("publish", "recognise"):
            with (folder / f"{name}.log").open("wb") as log:
                self._processes[name] = subprocess.Popen(
                    [sys.executable, str(Path(__file__).with_name("sabotage.py")), mode, name, "-c", str(config)],
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
        self.recogniser = self._processes["recognise"]
        until(lambda: b"watching" in self._log() or self.recogniser.poll() is not None, 60)
        self.began = time.monotonic()

    def _log(self) -> bytes:
        return (self.folder / "recognise.log").read_bytes()

    def at(self, frame: int | None) -> None:
        """Wait until the clip has come to this frame if it is paced like a camera, or to its end; and two seconds."""
        if frame is None:
            until(lambda: b"has ended" in self._log() or self.recogniser.poll() is not None, 60)
        due = time.monotonic() if frame is None else self.began + (frame + 1) / FPS
        due += SETTLED_S
        while time.monotonic() < due and self.recogniser.poll() is None:
            time.sleep(0.02)

    def copy(self) -> dict[str, list[tuple[str, bytes | NDArray[np.uint8]]]]:
        """What stands in the memory of both processes, in the folder, and in what was published so far, at once."""
        found: dict[str, list[tuple[str, bytes | NDArray[np.uint8]]]] = {}
        for name, process in self._processes.items():
            if process.poll() is None:
                found[f"memory of {name}"] = [(one.name, one.data) for one in memory(process.pid)]
        found["file"] = list(files(self.folder))
        found["MQTT"] = [(topic.split("/")[5], f"{topic} ".encode() + said) for topic, said, _ in list(self.ear.heard)]
        return found

    def finish(self, left: Left, sign: signal.Signals = signal.SIGABRT) -> None:
        """Provoke a core of each process, though the limit for one was lifted, and put down what was said."""
        for process in self._processes.values():
            if process.poll() is None:
                with suppress(PermissionError):  # not every root may
                    resource.prlimit(process.pid, resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
                process.send_signal(sign)
        left.codes = [process.wait(20) for process in self._processes.values()]
        left.cores = [path.name for path in self.folder.glob("core*") if path.stat().st_size]
        health = [json.loads(payload)["recogniser"] for payload in self.ear.payloads("/health")]
        left.health = next((body for body in reversed(health) if body), {})
        left.hits = [json.loads(payload) for payload in self.ear.payloads("/hit/")]
        births = [json.loads(payload) for payload in self.ear.payloads("/birth")]
        left.hoards = [name for name, model in (births[-1]["models"] if births else {}).items() if model["hoards"]]
        left.log = self._log().decode()

    def end(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()
        self.ear.close()
        self._broker.kill()


def run(
    folder: Path,
    clip: Path,
    looks: Sequence[Look],
    *,
    listed: Sequence[str] = (),
    pace: str = "live",
    mode: str = "none",
    secret: str = "",
) -> Left:
    """A unit's whole life in front of ``clip``."""
    unit, left = Unit(folder, clip, listed, pace, mode, secret), Left()
    copies = {}
    try:
        for look in looks:
            unit.at(look.after_frame)
            copies[look.name] = unit.copy()
            left.alive = left.alive and len(copies[look.name]) == 4
        unit.finish(left)
    finally:
        unit.end()
    for look in looks:  # only now, so that searching does not slow down what is searched
        left.findings[look.name] = [
            finding
            for place, parts in copies[look.name].items()
            for name, data in parts
            for finding in look.needles.find(data, f"{place}: {name}")
        ]
        for place, parts in copies.pop(look.name).items():
            left.megabytes[place] = max(left.megabytes.get(place, 0.0), sum(len(data) for _, data in parts) / 1e6)
    return left


def throw(folder: Path, clip: Path, passages: Sequence[Passage], listed: Sequence[str], mode: str) -> Left:
    """A unit in which an exception quotes the first plate, as `sabotage` makes it; searched for all of its texts."""
    plate = passages[0].plate
    look = Look("exception", passages[-1].last, Needles(of_text(0, plate)))
    disguised = bytes(ord(character) ^ 0x55 for character in plate).hex()
    return run(folder, clip, [look], listed=listed, mode=mode, secret=disguised)


def _list(plates: Sequence[str]) -> dict[str, Any]:
    end = "2099-12-31T23:59:59Z"
    # A list has to have an entry: one that does not pass.
    entries = [
        {"plate": plate, "country": "NL", "reason": "proof", "not_after": end, "priority": 1}
        for plate in (*plates, "QQ00QQ")
    ]
    return {
        "schema": "anpr.list/1",
        "list_id": "proof",
        "version": 1,
        "valid_from": "2026-01-01T00:00:00Z",
        "valid_until": end,
        "units": ["*"],
        "mandate": {"regime": "proof", "reference": "never-issued", "authority": "edge-anpr", "not_after": end},
        "entries": entries,
    }
