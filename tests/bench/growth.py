"""``python -m tests.bench.growth``: how each cost of a unit grows with what may grow around it.

Writes growth.json, the tables of growth.md between their marks, and the pictures that it shows. ``--only`` measures
some curves anew and leaves the others as they are.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import edge_anpr
from edge_anpr import files
from edge_anpr.tools import machine
from edge_anpr.tools.terminal import progress
from tests.bench import listed, looks, networks, passing, units, waiting
from tests.bench.__main__ import DOCS
from tests.bench.curves import Curve

# Each with its steps, for the progress bar.
CURVES: Mapping[str, tuple[Callable[[Callable[[int], None]], Curve], int]] = {
    "picture-size": (looks.picture_size, looks.ROUNDS * len(looks.SIZES)),
    "plates": (looks.plates, looks.ROUNDS * len(looks.COUNTS)),
    "passages": (passing.passages, passing.ROUNDS * len(passing.PASSAGES)),
    "list-opening": (listed.opening, len(listed.OPENED)),
    "list-matching": (listed.matching, len(listed.LOOKED_UP)),
    "outbox": (waiting.hits, len(waiting.WAITING)),
    "cameras": (units.cameras, len(units.CAMERAS)),
    "batches": (networks.batches, len(networks.ROWS)),
    "bindings": (networks.bindings, 1 + len(networks.BOUND_ROWS)),
}


def main() -> int:
    """Measure, write, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.growth", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=CURVES, default=list(CURVES))
    parser.add_argument("--out", type=Path, default=DOCS, help="the folder of growth.json")
    said = parser.parse_args()
    said.out.mkdir(parents=True, exist_ok=True)
    kept, document = said.out / "growth.json", said.out / "growth.md"
    told = json.loads(kept.read_bytes()) if kept.exists() else {}
    for name in said.only:
        make, steps = CURVES[name]
        with progress(steps, name) as step:
            curve = make(step)
        sys.stdout.write(f"\n{name}\n{curve.markdown()}\n")
        told[name] = asdict(curve) | {
            "version": edge_anpr.__version__,
            "machine": machine.name(),
            "versions": {library: version(library) for library in ("onnxruntime", "numpy", "opencv-python-headless")},
        }
        # After each, so that one that is broken off leaves what was measured before.
        files.replace(kept, (json.dumps(told, indent=1) + "\n").encode())
        if document.exists():
            text = published(document.read_text("utf-8"), curve)
            files.replace(document, text.encode())
            if f"growth-{name}.png" in text:
                from tests.bench import picture  # it names matplotlib, without which all else runs

                picture.draw_curve(curve, said.out / f"growth-{name}.png")
    return 0


def published(text: str, curve: Curve) -> str:
    """A document with the curve's table between its marks. Raises ValueError when it has none."""
    before, mark, rest = text.partition(f"<!-- {curve.name} -->\n")
    _, end, after = rest.partition(f"<!-- /{curve.name} -->")
    if not (mark and end):
        raise ValueError(f"the document has no marks <!-- {curve.name} --> and <!-- /{curve.name} -->")
    return f"{before}{mark}{curve.markdown()}\n{end}{after}"


if __name__ == "__main__":
    sys.exit(main())
