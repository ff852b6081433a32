"""The short form of the power cuts; `python -m tests.torture.powercut` is the long one, with a table of figures."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.torture import powercut
from tests.torture.disk import Disk
from tests.torture.powercut import Trial
from tests.torture.trace import CannotTrace, Event, Trace, record


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    """In memory: what is tried here is the order of things, and a real disk makes it slow."""
    with tempfile.TemporaryDirectory(dir=powercut._in_memory()) as path:
        yield Path(path)


@pytest.mark.parametrize(("trial", "cuts"), [(Trial("new"), 40), (Trial("version 1"), 16), (Trial("damaged"), 16)])
def test_no_hit_is_lost_or_torn_whenever_the_plug_is_pulled(work: Path, trial: Trial, cuts: int) -> None:
    figures = powercut.run(trial, work, cuts, seed=7, hits=60)
    assert figures.losses == []
    assert figures.cuts == cuts
    assert figures.sure > cuts


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_with_less_than_full_syncs_the_same_finds_losses(work: Path, synchronous: str) -> None:
    for seed in range(3):  # by chance there could be none in a few cuts
        figures = powercut.run(Trial("new", synchronous), work, 20, seed, hits=40)
        if figures.losses:
            break
    assert any("lost" in loss for loss in figures.losses)


def test_without_strace_it_says_so(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(CannotTrace, match="strace is missing; `make test` installs it"):
        record(work, 1, 1)


def test_a_disk_keeps_what_was_synced_and_any_part_of_the_rest() -> None:
    events = [
        Event(1, 1, "create", "/unit/a"),
        Event(2, 2, "write", "/unit/a", b"1" * 1024, 0),
        Event(3, 3, "sync", "/unit/a"),
        Event(4, 4, "sync", "/unit"),
        Event(5, 5, "write", "/unit/a", b"2" * 1024, 512),
        Event(6, 6, "rename", "/unit/a", other="/unit/b"),
        Event(7, 9, "sync", "/unit"),
    ]
    disk = Disk(Trace("/unit", {}, events, 10, {}, {}, {}))
    seen = {at: [disk.cut(at, random.Random(seed)) for seed in range(200)] for at in range(1, 11)}
    assert {frozenset(cut) for cut in seen[4]} == {frozenset(), frozenset("a")}
    assert {tuple(cut.items()) for cut in seen[5]} == {(("a", b"1" * 1024),)}
    assert {frozenset(cut) for cut in seen[9]} == {frozenset("a"), frozenset("b")}
    assert {frozenset(cut) for cut in seen[10]} == {frozenset("b")}
    after = [cut["b"] for cut in seen[10]]
    assert {raw[:512] for raw in after if len(raw) == 1536 and len(set(raw)) <= 2} == {b"1" * 512}
    assert {b"1" * 1024, b"1" * 512 + b"2" * 1024} <= {raw.rstrip(b"\0") for raw in after}
    assert {len(raw) for raw in after} == {1024, 1536}
