"""The history of runs: added to as a whole or not at all, and compared figure by figure."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from edge_anpr.errors import Unusable
from tests.bench import history
from tests.bench.history import Run

RUN = Run(
    "1.0", "2026-11-24T12:00:00+00:00", "a board, 4 cores", {"numpy": "2.0"},
    {"road": {"ratio_to_bare": 1.2, "look_ms": 10.0, "core_percent": 8.0, "rss_mb": 100.0}},
)  # fmt: skip


def test_what_is_kept_comes_back_oldest_first(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    assert history.load(path) == []
    later = replace(RUN, version="1.1")
    history.keep(path, RUN)
    history.keep(path, later)
    assert history.load(path) == [RUN, later]


def test_a_disk_that_fails_leaves_the_history_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "history.json"
    history.keep(path, RUN)
    before = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unusable, match="cannot be written"):
        history.keep(path, RUN)
    assert [one.name for one in tmp_path.iterdir()] == ["history.json"]
    assert path.read_bytes() == before


def test_a_file_that_is_no_history_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    for wrong in ("[{]", '[{"version": "1.0"}]'):
        path.write_text(wrong)
        with pytest.raises(Unusable, match="no history"):
            history.keep(path, RUN)
        assert path.read_text() == wrong


def test_each_figure_stands_beside_what_it_was() -> None:
    now = replace(RUN, scenes={"road": {**RUN.scenes["road"], "look_ms": 12.5}, "new": dict.fromkeys(history.FIGURES)})
    rows = history.rows(now, RUN)
    assert ("road", "look ms", "12.5", "10", "+25 %") in rows
    assert ("road", "rss mb", "100", "100", "+0 %") in rows
    assert ("new", "look ms", "-", "-", "-") in rows
    assert history.rows(RUN, None)[0] == ("road", "ratio to bare", "1.2")
