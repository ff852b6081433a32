"""The soak itself: it passes what is well, and finds each thing that it looks for when the unit is broken so."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.soak import judge, road, running
from tests.soak.judge import Sample, Soak
from tests.systemd.conftest import PYTHON3_SYSTEMD


def soaked(count: int = 100) -> Soak:
    return Soak(
        asked=1000,
        watchdog_s=30.0,
        samples=[Sample(10.0 * i, 10 * i, 120.0 + i % 3, 9, 4, 41.0, 0) for i in range(count + 1)],
        beats_s=[7.5 * i for i in range(100)],
        health={"frames": 1000, "hits": 3, "state": "ended"},
        delivered=6,
        code=0,
    )


def test_what_is_well_passes() -> None:
    assert judge.complaints(soaked()) == []


@pytest.mark.parametrize(
    ("what", "by", "says"),
    [
        ("rss_mb", 0.1, "the recogniser grew by"),
        ("publisher_mb", 0.1, "the publisher grew by"),
        ("fds", 0.05, "more descriptors are open"),
        ("threads", 0.05, "more threads run"),
    ],
)
def test_what_grows_is_found(what: str, by: float, says: str) -> None:
    soak = soaked()
    for i, sample in enumerate(soak.samples):
        before = getattr(sample, what)
        soak.samples[i] = replace(sample, **{what: type(before)(before + by * i)})
    (words,) = judge.complaints(soak)
    assert says in words


def test_what_grows_before_the_end_of_the_warm_up_is_no_leak() -> None:
    soak = soaked()
    soak.samples = [replace(one, rss_mb=60.0) if one.frames < 50 else one for one in soak.samples]
    assert judge.complaints(soak) == []


def test_silence_missing_frames_hits_and_a_bad_end_are_found() -> None:
    soak = soaked()
    soak.beats_s, soak.code, soak.delivered = [0.0, 7.5, 38.0], -9, 0
    soak.health = {"frames": 999, "hits": 0}
    assert [words.split()[0] for words in judge.complaints(soak)] == ["999", "the", "no", "the"]
    soak.beats_s = []
    assert any("watchdog" in words for words in judge.complaints(soak))


@pytest.fixture(scope="module", autouse=True)
def _needs() -> None:
    if not (shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")) or not PYTHON3_SYSTEMD.is_dir():
        pytest.fail("mosquitto or python3-systemd is missing; `make test` installs them")


@pytest.mark.system
@pytest.mark.parametrize(
    ("sabotage", "says"),
    [
        ("", ""),
        ("memory", "the recogniser grew by"),
        ("descriptors", "descriptors"),
        ("watchdog", "the watchdog heard"),
    ],
)
def test_a_short_soak_of_the_real_processes(
    sabotage: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(road, "VEHICLES", 4)
    monkeypatch.setattr(road, "EMPTY", 40)
    monkeypatch.setattr(running, "HEARTBEAT_S", 0.5)
    found = judge.complaints(running.run(tmp_path, 4000, every_s=0.25, watchdog_s=4.0, sabotage=sabotage))
    assert [words for words in found if says and says in words] if sabotage else not found, found
