"""Runs that were kept, oldest first, and what has become of each figure since the last of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_anpr import files
from edge_anpr.errors import Unusable

FIGURES = ("ratio_to_bare", "look_ms", "core_percent", "rss_mb")


@dataclass(frozen=True, slots=True)
class Run:
    """One run: of what, on what, and by scene the figures (medians): ``FIGURES``, None where nothing was looked at.

    ``committed``: when the code was, ISO 8601.
    """

    version: str
    committed: str
    machine: str
    versions: Mapping[str, str]
    scenes: Mapping[str, Mapping[str, float | None]]


def load(path: Path) -> list[Run]:
    """The runs in a file, none when there is no file. Raises Unusable when it holds something else."""
    if not path.exists():
        return []
    try:
        return [Run(**entry) for entry in json.loads(files.read(path))]
    except (ValueError, TypeError) as error:
        raise Unusable(f"{path}: is no history of runs ({error}); restore it: git checkout {path}") from error


def keep(path: Path, run: Run) -> None:
    """Add a run to the file: all of it, or nothing. Raises Unusable."""
    kept = [*load(path), run]
    files.replace(path, (json.dumps([asdict(one) for one in kept], indent=1) + "\n").encode())


def rows(now: Run, before: Run | None) -> list[tuple[str, ...]]:
    """Scene, figure, its value, and with ``before`` its value then and the change."""
    found: list[tuple[str, ...]] = []
    for scene, figures in now.scenes.items():
        for name in FIGURES:
            value = figures[name]
            line: tuple[str, ...] = (scene, name.replace("_", " "), "-" if value is None else f"{value:g}")
            if before is not None:
                line += _compared(value, before.scenes.get(scene, {}).get(name))
            found.append(line)
    return found


def _compared(now: float | None, before: float | None) -> tuple[str, str]:
    if not now or not before:
        return ("-" if before is None else f"{before:g}", "-")
    return f"{before:g}", f"{100 * (now / before - 1):+.0f} %"
