"""The proof of forgetting in full: ``make prove-forgetting`` prints a table and writes a report (Markdown).

A hundred vehicles with plates that were never issued pass a real unit; then root looks for every form of every plate.
Beside it: a unit that saw other plates, one that keeps a plate on purpose, ones with a guard taken away, and ones in
which every stage throws an exception that quotes a plate. Ends with 1 when anything is not as it has to be.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import cv2

import edge_anpr
from edge_anpr.tools.terminal import progress, table
from edge_anpr.vision.session import shipped
from tests.privacy import forms, scenes, trial
from tests.privacy.sabotage import STAGES
from tests.privacy.scan import Needles
from tests.privacy.scenes import Scene
from tests.privacy.trial import Left, Look

SINGLES, ABREAST, AFTER = 60, 45, 8
# A guard that is taken away, and the form in which the proof has to notice it.
MUTATIONS = {
    "arena+flush": "OCR output, by class",
    "crop": "OCR crop",
    "input": "detector input",
    "frame": "luma",
    "decoder": "decoder's plane",
    "passage": "character rows",
    "text": "ASCII",
    "log": "ASCII",
}


@dataclass(slots=True)
class Proof:
    """What came of all runs; ``wrong`` says in words what is not as it has to be."""

    columns: dict[str, Counter[str]] = field(default_factory=dict)
    needles: Counter[str] = field(default_factory=Counter)
    megabytes: dict[str, float] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def expect(self, right: object, words: str) -> None:
        """Write down a statement, and whether it holds."""
        self.lines.append(f"{'yes' if right else 'NO '}  {words}")
        if not right:
            self.wrong.append(words)


def main() -> None:
    """Run everything; exit code 1 when the proof fails."""
    parser = argparse.ArgumentParser(description="Prove that the unit forgets (root; Linux).")
    parser.add_argument("--out", type=Path, default=Path("forgetting.md"), help="where the report goes")
    report: Path = parser.parse_args().out
    proof = Proof()
    with tempfile.TemporaryDirectory(prefix="forgetting-") as name:
        steps = 9 + len(MUTATIONS) + len(STAGES) + 1
        with progress(steps, "proof of forgetting") as step:
            _prove(proof, Path(name), step)
    rows = _rows(proof)
    table("Findings", ["form", "sought", *proof.columns], rows)
    for line in proof.lines:
        print(line)  # noqa: T201 - a tool for people
    report.write_text(_report(proof, rows), "utf-8")
    print(f"{'NOT PROVEN' if proof.wrong else 'proven'}; the report is in {report}")  # noqa: T201
    sys.exit(bool(proof.wrong))


def _prove(proof: Proof, folder: Path, step: Callable[[int], None]) -> None:
    road = scenes.road(folder, 2, SINGLES, ABREAST, AFTER)
    step(1)
    stop = scenes.stop(folder, 3, 15)
    other = scenes.stop(folder, 3, 15, "mp4v")
    step(1)
    proof.needles.update(needle.form for needle in {n.data: n for one in (road, stop) for n in one.needles}.values())

    never = Look("control: other plates", road.looks[-1].after_frame, Needles(stop.needles))
    left = _run(proof, folder / "road", road, "epoch", [*road.looks, never])
    for look, column in zip((*road.looks, never), ("busy", "quiet", "other"), strict=True):
        proof.columns[column] = Counter(finding.form for finding in left.findings[look.name])
        proof.expect(not left.findings[look.name], f"{look.name}: nothing is found")
    proof.megabytes = left.megabytes
    proof.expect(road.read >= 0.98 * len(road.passages), f"{road.read} of {len(road.passages)} plates can be read")
    passed = int(left.health.get("passages", 0))
    proof.expect(passed >= 0.95 * len(road.passages), f"the unit itself counted {passed} passages")
    reads = {hit["read"] for hit in left.hits}
    proof.expect(reads == set(road.listed), "the plate that is listed arrived as a hit, and no other")
    proof.expect(not left.hoards, "the networks' sessions keep no memory from pass to pass, as they say themselves")
    proof.expect(not left.cores, "a provoked abort (SIGABRT, core limit lifted) wrote no core")
    step(1)
    for scene, name in ((stop, "cut, MJPEG"), (other, "cut, MPEG-4")):
        left = _run(proof, folder / name, scene, "none", scene.looks)
        proof.columns[name] = _count(left)
        proof.expect(not left.all(), f"{name}: nothing is found")
        proof.expect(left.health.get("passages") == len(scene.passages), f"{name}: all passages were counted")
        step(1)
    left = _run(proof, folder / "keep", stop, "keep", stop.looks)
    proof.columns["kept"] = _count(left)
    missing = set(forms.FORMS) - set(forms.KEYS) - set(_count(left))
    proof.expect(not missing, f"a plate that is kept on purpose is found in every form {sorted(missing) or ''}".strip())
    step(1)
    small = scenes.road(folder, 4, 3, 3, 3)
    left = _run(proof, folder / "seldom", small, "as it looks", small.looks)
    proof.columns["seldom"] = _count(left)
    proof.expect(not left.all(), "looking only where something moves: nothing is found")
    proof.expect(left.health.get("passages") == len(small.passages), "and all passages were counted")
    step(1)
    left = _run(proof, folder / "key", small, "key", small.looks[-1:])
    proof.columns["key"] = _count(left)
    proof.expect(set(_count(left)) == set(forms.KEYS), "alarm when the key is not rotated")
    step(1)
    for mode, form in MUTATIONS.items():
        left = _run(proof, folder / mode, stop, mode, stop.looks)
        proof.expect(form in _count(left), f"alarm when a guard is taken away: {mode} ({sum(_count(left).values())})")
        step(1)
    left = _run(proof, folder / "arena", stop, "arena", stop.looks)
    proof.expect(left.hoards, "alarm when the arena is turned on")
    step(1)
    left = trial.run(folder / "core", stop.clip, [], pace=stop.pace, mode="core")
    proof.expect(left.cores, "without the guard a core is written here")
    step(1)
    for stage in STAGES:
        left = trial.throw(folder / f"raise-{stage}", small.clip, small.passages, small.listed, f"raise:{stage}")
        proof.expect(
            left.codes[1] == 1 and "stopped by" in left.log and not left.all(),
            f"an exception in {stage} that quotes a plate ends the unit, and the plate is nowhere",
        )
        step(1)


def _run(proof: Proof, folder: Path, scene: Scene, mode: str, looks: Sequence[Look]) -> Left:
    left = trial.run(folder, scene.clip, looks, listed=scene.listed, pace=scene.pace, mode=mode)
    if not left.alive:  # else nothing found would mean nothing looked at
        proof.expect(False, f"{folder.name}: both processes were there to be looked at")
    return left


def _count(left: Left) -> Counter[str]:
    return Counter(finding.form for finding in left.all())


def _rows(proof: Proof) -> list[list[object]]:
    keys = {"old key": scenes.OLD_KEYS, "token of an old key": scenes.OLD_KEYS * (SINGLES + ABREAST + AFTER)}
    return [
        [form, keys.get(form, proof.needles[form]), *(column[form] for column in proof.columns.values())]
        for form in forms.FORMS
    ]


_ABOUT = """\
{vehicles} vehicles with plates that were never issued passed a unit: recogniser and publisher as they run on a pole,
log level DEBUG, a real broker. Two seconds after the last had left, both processes were stopped for a moment and
their memory copied (all that is writable or belongs to no file; pages of zeros left out), together with the unit's
folder (outbox, its log and free pages, all logs) and every MQTT message so far, and searched: {searched}.

Forms of pixels and of values are runs of 32 bytes out of each frame that showed the plate."""
_COLUMNS = """\
Columns: others pass (busy); nobody passes (quiet); control, plates that this unit never saw (other); the recording ends
while vehicles are in view (cut); the unit looks as seldom as on a pole (seldom), and not at every frame as in all other
runs; positive control, everything of one passage is kept on purpose (kept); the epoch's key is not rotated (key)."""
_LIMITS = """\
Not searched: the kernel (page cache of the clip, socket buffers), swap, video memory of a camera or a GPU, and the
networks' inner activations."""


def _report(proof: Proof, rows: Sequence[Sequence[object]]) -> str:
    hashes = {
        kind: json.loads(shipped(kind).with_suffix(".json").read_bytes())["sha256"] for kind in ("detector", "ocr")
    }
    searched = ", ".join(f"{place} {size:.1f} MB" for place, size in proof.megabytes.items())
    head = ["form", "sought", *proof.columns]
    versions = {
        "edge-anpr": edge_anpr.__version__,
        "Python": platform.python_version(),
        "ONNX Runtime": version("onnxruntime"),
        "OpenCV": cv2.__version__,
        "numpy": version("numpy"),
        "libc": " ".join(platform.libc_ver()),
        platform.system(): f"{platform.release()} {platform.machine()}",
    }
    lines = [
        "# Proof of forgetting",
        "",
        f"**{'NOT PROVEN' if proof.wrong else 'Proven'}**, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC.",
        "",
        ", ".join(f"{name} {value}" for name, value in versions.items()) + ".",
        *(f"Model {kind}: sha256 `{value}`." for kind, value in hashes.items()),
        "",
        _ABOUT.format(vehicles=SINGLES + ABREAST + AFTER, searched=searched),
        "",
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(map(str, row)) + " |" for row in rows),
        "",
        _COLUMNS,
        "",
        *(f"- {line}" for line in proof.lines),
        "",
        _LIMITS,
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
