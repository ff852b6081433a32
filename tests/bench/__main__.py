"""``python -m tests.bench``: what a look costs on roads of several kinds, beside the last run that was kept.

``--keep`` adds this run to history.json and draws history.png anew; ``--clips`` measures recordings of yours as well,
which are never kept. Processor time of one thread, medians over all looks of all rounds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_anpr.privacy.process import restart_uncached
from edge_anpr.privacy.wipe import release
from edge_anpr.tools import bench, machine
from edge_anpr.tools.terminal import progress, table
from tests.bench import history, scenes
from tests.bench.history import Run

DOCS = Path(__file__).resolve().parents[2] / "docs" / "speed"
LEAST_ROUNDS = 5


def main() -> int:
    """Measure, tell, keep when asked to, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS)
    parser.add_argument("--clips", type=Path, metavar="FOLDER", help="also measure the recordings in it")
    parser.add_argument("--keep", action="store_true", help=f"add this run to the history (from {LEAST_ROUNDS} rounds)")
    parser.add_argument("--out", type=Path, default=DOCS, help="the folder of history.json")
    said = parser.parse_args()
    if said.keep and said.rounds < LEAST_ROUNDS:
        parser.error(f"--keep: a run of less than {LEAST_ROUNDS} rounds is not worth keeping")
    restart_uncached()
    kept = history.load(said.out / "history.json")
    ready = bench.Bench(threads=1)
    told = {name: _told(ready, make(), name, said.rounds) for name, make in scenes.SCENES.items()}
    run = _run(told)
    own = scenes.clips(said.clips) if said.clips else {}
    shown = _run(told | {name: _told(ready, make(), name, said.rounds) for name, make in own.items()})
    before = kept[-1] if kept else None
    columns = ("scene", "figure", "now", *(("kept", "change") if before else ()))
    table(f"edge-anpr {run.version} on {run.machine}", columns, history.rows(shown, before))
    if before is not None and before.machine != run.machine:
        sys.stdout.write(f"the run that was kept is of another machine ({before.machine}): compare ratios alone\n")
    if said.keep:
        said.out.mkdir(parents=True, exist_ok=True)
        history.keep(said.out / "history.json", run)
        from tests.bench import picture  # it names matplotlib, without which all else runs

        picture.draw_history([*kept, run], said.out / "history.png")
    return 0


def _told(ready: bench.Bench, material: scenes.Frames, name: str, rounds: int) -> dict[str, Any]:
    with progress(len(material) * (rounds + 2), name) as step:
        told = bench.measure(ready, material, rounds=rounds, step=step)
    material.clear()
    release()
    return told | {"rss_mb": machine.memory_mb("VmRSS")}


def _run(told: Mapping[str, dict[str, Any]]) -> Run:
    one = next(iter(told.values()))
    figures = {
        name: {
            "ratio_to_bare": each["ratio_to_bare"] and each["ratio_to_bare"]["p50"],
            "look_ms": each["ms"]["look"] and each["ms"]["look"]["p50"],
            "core_percent": each["core_percent"],
            "rss_mb": each["rss_mb"],
        }
        for name, each in told.items()
    }
    return Run(one["version"], _committed(), one["machine"], one["versions"], figures)


def _committed() -> str:
    try:
        said = subprocess.run(
            ["git", "log", "-1", "--format=%cI"], cwd=DOCS.parent, check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return said.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
