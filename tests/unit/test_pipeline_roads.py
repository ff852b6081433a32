"""The shipped networks on drawn roads: far plates on a live unit, wide ones whole, nothing where nothing is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from evaluate_detector import put_plate
from pasting import lay, lit, seen_quad
from plates import PlateRenderer

from edge_anpr.datatypes import Frame, Track
from edge_anpr.plates.text import reveal
from edge_anpr.unit.pipeline import DETECTION_THRESHOLD, Material, Pipeline, is_plate
from edge_anpr.vision.detect import Detector
from edge_anpr.vision.ocr import Reader
from edge_anpr.vision.session import Network, shipped

TEXT = "QD-53-CQ"  # no vowel, C or Q has stood on a Dutch plate since 1978: never issued
SOME = ["QD-53-CQ", "QX-71-CC", "CQ-08-QD", "CD-94-QQ", "QQ-62-CX", "CC-35-QZ", "QZ-17-QC", "CX-48-CQ"]


def pipeline(material: Material) -> Pipeline:
    return Pipeline(
        Detector(Network(shipped("detector"), "detector", "quad13-s8"), DETECTION_THRESHOLD),
        Reader(Network(shipped("ocr"), "ocr", "ctc")),
        material,
    )


def road(
    width: int, height: int, plate_px: int, at: tuple[float, float], text: str = TEXT, downhill: float | None = None
) -> np.ndarray:
    """A grainy road with a dark car's rear on it, and a plate so wide on that; turned away, it runs ``downhill``."""
    rng = np.random.default_rng(4)
    picture = np.tile(np.linspace(150, 80, height, dtype=np.float32)[:, None], (1, width))
    x, y = at
    box = (int(x - 2 * plate_px), int(y - 1.6 * plate_px)), (int(x + 2 * plate_px), int(y + 0.7 * plate_px))
    cv2.rectangle(picture, *box, 45.0, -1)
    cv2.rectangle(
        picture, (box[0][0] + plate_px // 2, box[0][1]), (box[1][0] - plate_px // 2, int(y - plate_px)), 110.0, -1
    )
    for side in (-1.7, 1.7):
        cv2.circle(picture, (int(x + side * plate_px), int(y - 0.3 * plate_px)), plate_px // 5, 190.0, -1)
    grainy = np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)
    flat = PlateRenderer(rng, faces="drawn").flat(text, style="NL").gray
    if downhill is None:
        quad = seen_quad(rng, at, plate_px, flat.shape[1] / flat.shape[0], tilt=2, turn=5)
    else:
        quad = np.array([[-1, -0.3], [1, -0.3], [1, 0.3], [-1, 0.3]], np.float32) * np.float32(plate_px / 2)
        quad = np.asarray(quad @ np.array([[1, downhill], [0, 1]]) + at, np.float32)
    lay(grainy, lit(rng, flat, 25.0, 190.0), quad)
    return grainy


def passages(material: Material, picture: np.ndarray, frames: int) -> list[str]:
    way = pipeline(material)
    ended: list[Track] = []
    for index in range(frames):
        ended += way.see(Frame(index, index * 80_000_000, picture, picture)).ended
    ended += way.tracker.finish()
    reads = [(way.fuse(track), track) for track in ended]
    still = material is Material.STILL
    return [reveal(read.classes) for read, track in reads if read is not None and is_plate(read, track, still=still)]


def test_a_live_unit_reads_a_far_plate_on_a_full_hd_road_within_some_frames() -> None:
    picture = road(1920, 1080, 64, (1500.0, 420.0))
    assert passages(Material.LIVE, picture, 12) == ["QD53CQ"]


def test_one_look_at_the_whole_would_not_have_read_it() -> None:
    picture = road(1920, 1080, 64, (1500.0, 420.0))
    small = cv2.resize(picture, (640, 360), interpolation=cv2.INTER_AREA)
    assert passages(Material.LIVE, np.asarray(small, np.uint8), 12) != ["QD53CQ"]


@pytest.mark.parametrize("downhill", [-0.45, 0.45])
def test_plates_that_are_turned_away_below_a_camera_are_read(downhill: float) -> None:
    """Their sides stay upright: as far from a right angle as 24 degrees."""
    found = [passages(Material.STILL, road(640, 480, 150, (320.0, 260.0), text, downhill), 1) for text in SOME]
    right = sum(told == [text.replace("-", "")] for told, text in zip(found, SOME, strict=True))
    assert right >= len(SOME) - 1


@pytest.mark.parametrize(("text", "plate_px", "to_left"), [("8687-QD-81", 70, True), ("53-QD-CQ-08", 150, False)])
def test_no_part_of_a_plate_that_leaves_at_the_side_is_told_as_another(text: str, plate_px: int, to_left: bool) -> None:
    """14 pictures a plate's width, as every picture of a slow vehicle gives them."""
    way = pipeline(Material.RECORDED)
    ended: list[Track] = []
    places = np.arange(640 - 2 * plate_px, 640 + plate_px, plate_px / 14)
    for index, x in enumerate(640 - places if to_left else places):
        picture = road(640, 480, plate_px, (float(x), 300.0), text)
        ended += way.see(Frame(index, index * 40_000_000, picture, picture)).ended
    ended += way.tracker.finish()
    reads = [(way.fuse(track), track) for track in ended]
    told = [reveal(read.classes) for read, track in reads if read is not None and is_plate(read, track)]
    assert told == [text.replace("-", "")]


@pytest.mark.parametrize("material", Material)
def test_a_plate_that_ends_at_the_border_is_a_whole_one_of_a_still_picture_alone(material: Material) -> None:
    picture = np.ascontiguousarray(road(640, 480, 150, (320.0, 300.0))[:, : 320 + 75])
    assert passages(material, picture, 5) == (["QD53CQ"] if material is Material.STILL else [])


@pytest.mark.parametrize("plate_px", [60, 150, 300, 560])
def test_a_still_is_read_whatever_the_width_of_its_plate(plate_px: int) -> None:
    assert passages(Material.STILL, road(640, 480, plate_px, (320.0, 300.0)), 1) == ["QD53CQ"]


@pytest.mark.parametrize("width", [60, 110, 240])
@pytest.mark.parametrize("room", [-0.06, 0.04])  # of the plate's height; what the picture cuts has no voice otherwise
def test_a_picture_that_is_nothing_but_a_plate_is_read_to_its_border(width: int, room: float) -> None:
    rng = np.random.default_rng(9)
    right = 0
    for text in SOME:
        flat = PlateRenderer(rng, faces="drawn").flat(text, style="NL").gray
        rim = round(room * flat.shape[0])
        loose = cv2.copyMakeBorder(flat, 9, 9, 9, 9, cv2.BORDER_CONSTANT, value=50)[9 - rim :, 9 - rim :]
        loose = loose[: loose.shape[0] - 9 + rim, : loose.shape[1] - 9 + rim]
        size = (width, round(loose.shape[0] * width / loose.shape[1]))
        picture = np.asarray(cv2.resize(loose, size, interpolation=cv2.INTER_AREA), np.uint8)
        right += passages(Material.STILL, picture, 1) == [text.replace("-", "")]
    assert right >= len(SOME) - 1


@pytest.mark.parametrize(("light", "fog"), [(0.022, 2.0), (0.04, 180.0)], ids=["dark", "fog"])
@pytest.mark.parametrize("lamps", [0, 3])
def test_plates_are_read_in_the_dark_and_in_fog_with_lamps_or_without(light: float, fog: float, lamps: int) -> None:
    """There they are 165 grays lighter than their letters by day, and 4 or 7 here."""
    right = 0
    for text in SOME:
        rng = np.random.default_rng(8)
        picture = road(640, 480, 110, (320.0, 260.0), text) * light + fog + rng.normal(0, 0.4, (480, 640))
        for _ in range(lamps):
            cv2.circle(picture, (int(rng.integers(640)), int(rng.integers(100))), 30, 255.0, -1)
        told = passages(Material.STILL, np.clip(picture + 0.5, 0, 255).astype(np.uint8), 1)
        right += told == [text.replace("-", "")]
    assert right >= len(SOME) - 2


def test_an_empty_road_has_no_passage() -> None:
    rng = np.random.default_rng(6)
    for _ in range(6):
        base = cv2.resize(rng.uniform(30, 220, (9, 12)).astype(np.float32), (1280, 720), interpolation=cv2.INTER_CUBIC)
        picture = np.clip(base + rng.normal(0, 6, base.shape), 0, 255).astype(np.uint8)
        assert passages(Material.RECORDED, picture, 3) == []


def test_put_plate_tells_where_it_put_it() -> None:
    rng = np.random.default_rng(7)
    picture = np.full((480, 640), 60, np.uint8)
    box = put_plate(picture, PlateRenderer(rng, faces="drawn"), rng, 200)
    changed = np.argwhere(picture != 60)
    (top, left), (down, right) = changed.min(0), changed.max(0)
    assert (left, top) == pytest.approx((box.left, box.top), abs=4)
    assert (right, down) == pytest.approx((box.left + box.width, box.top + box.height), abs=4)
