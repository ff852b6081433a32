"""The short form of the proof of forgetting (`make prove-forgetting` is the long one), and that it would fail."""

import os
import resource
from collections import Counter
from pathlib import Path

import pytest

from tests.privacy import forms, scenes, trial
from tests.privacy.scan import Needle, Needles
from tests.privacy.scenes import Scene
from tests.privacy.trial import Left

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root reads another process's memory")


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return scenes.road(tmp_path_factory.mktemp("clip"), 2, singles=3, abreast=3, after=5)


@pytest.fixture(scope="module")
def stop(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return scenes.stop(tmp_path_factory.mktemp("clip"), 3, 6)


def seen(scene: Scene, folder: Path, mode: str) -> Left:
    return trial.run(folder / "unit", scene.clip, scene.looks, listed=scene.listed, pace=scene.pace, mode=mode)


def told(left: Left) -> Counter[tuple[str, str]]:
    assert left.alive, left.log
    return Counter((finding.form, finding.place) for finding in left.all())


def test_a_scan_finds_a_needle_wherever_it_stands() -> None:
    needles = [Needle("a", 0, b"needle-0"), Needle("a", 1, b"needle-1-and-more"), Needle("b", 2, b"zebra!")]
    hay = bytearray(os.urandom(70_000_000))
    for place, needle in ((0, 0), (33_554_430, 1), (50_000_003, 2), (69_999_992, 0)):
        hay[place : place + len(needles[needle].data)] = needles[needle].data
    assert Counter(found.plate for found in Needles(needles).find(bytes(hay), "hay")) == {0: 2, 1: 1, 2: 1}


def test_nothing_of_a_plate_that_is_not_listed_is_left_while_others_pass_and_when_the_road_is_quiet(
    road: Scene, stop: Scene, tmp_path: Path
) -> None:
    control = trial.Look("control", road.looks[-1].after_frame, Needles(stop.needles))  # plates it never saw
    looks = [*road.looks, control]
    left = trial.run(tmp_path / "unit", road.clip, looks, listed=road.listed, mode="epoch")
    assert told(left) == {}
    assert left.cores == []
    assert road.read == len(road.passages)
    assert left.health["passages"] >= 0.8 * len(road.passages)  # a busy machine passes over frames
    assert {hit["read"] for hit in left.hits} == set(road.listed)


def test_nothing_is_left_where_the_road_falls_asleep_behind_the_last_vehicle(road: Scene, tmp_path: Path) -> None:
    """The other runs look at every frame; this one where attention sends it, so that its last look may be earlier."""
    left = seen(road, tmp_path, "as it looks")
    assert told(left) == {}
    assert left.health["passages"] >= 0.8 * len(road.passages)


def test_nothing_is_left_when_the_camera_stops_while_vehicles_are_in_view(stop: Scene, tmp_path: Path) -> None:
    left = seen(stop, tmp_path, "none")
    assert told(left) == {}
    assert left.hoards == []
    assert left.health["passages"] == len(stop.passages)


def test_one_plate_that_is_kept_is_found_in_every_form(stop: Scene, tmp_path: Path) -> None:
    left = seen(stop, tmp_path, "keep")
    assert {finding.form for finding in left.all()} == set(forms.FORMS) - set(forms.KEYS)


@pytest.mark.parametrize(
    ("mode", "form"),
    [("arena+flush", "OCR output, by class"), ("crop", "OCR crop"), ("log", "ASCII"), ("decoder", "decoder's plane")],
)
def test_the_proof_fails_when_a_guard_is_taken_away(mode: str, form: str, stop: Scene, tmp_path: Path) -> None:
    assert form in {finding.form for finding in seen(stop, tmp_path, mode).all()}


def test_the_proof_fails_when_the_arena_is_turned_on(stop: Scene, tmp_path: Path) -> None:
    """Passes over nothing overwrite what an arena keeps, so that nothing is found: the sessions are asked as well."""
    assert seen(stop, tmp_path, "arena").hoards == ["detector", "ocr"]


def test_the_proof_fails_when_the_key_is_not_rotated(road: Scene, tmp_path: Path) -> None:
    quiet = road.looks[-1:]
    left = trial.run(tmp_path / "unit", road.clip, quiet, listed=road.listed, mode="key")
    assert {finding.form for finding in left.all()} == set(forms.KEYS)


def test_without_the_guard_a_core_is_written(stop: Scene, tmp_path: Path) -> None:
    here = Path("/proc/sys/kernel/core_pattern").read_text("utf-8").startswith("core")
    if not here or resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("this machine's cores go elsewhere")
    assert trial.run(tmp_path / "unit", stop.clip, [], pace=stop.pace, mode="core").cores


@pytest.mark.parametrize("mode", ["raise:token", "raise:outbox"])
def test_an_exception_that_quotes_a_plate_is_told_without_it(mode: str, road: Scene, tmp_path: Path) -> None:
    left = trial.throw(tmp_path / "unit", road.clip, road.passages, road.listed, mode)
    assert left.all() == []
    assert left.codes[1] == 1
    assert "vision stopped by" in left.log


def test_what_python_tells_by_itself_does_not_quote_a_plate_either(stop: Scene, tmp_path: Path) -> None:
    left = trial.throw(tmp_path / "unit", stop.clip, stop.passages, [], "unraisable")
    assert [finding for finding in left.all() if finding.place.startswith("file")] == []
    assert "stopped by RuntimeError at" in left.log
