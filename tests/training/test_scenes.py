"""The detector's training pictures: labels must lie where the pixels are."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "models" / "training"))

import scenes
import splits
from captions import OPENCV_FONTS, Captions, learnt_fonts, measured_fonts, text
from glyphs import drawn_faces
from pasting import AMERICAN_SHARE, PlatePool, clutter, holder, homography, lay, lettering, seen_quad
from plates import PlateRenderer
from scenes import HEIGHT, LEAST_CONTRAST, MIN_WIDTH_PX, PAD, WIDTH, SceneMaker, contrast, view
from splits import HELD_BACK_RIDES, Photo, held_back, shrink

from edge_anpr.plates.text import LONGEST

BOX = (300.0, 320.0, 420.0, 346.0)


@pytest.fixture(scope="module")
def photo() -> Photo:
    """A gray street with one bright plate-shaped patch, labelled."""
    y, x = np.mgrid[:600, :800]
    gray = (30 + 0.04 * x + 0.04 * y).astype(np.uint8)
    gray[320:346, 300:420] = 230
    return Photo("openimages_plates", "street", "street", shrink(gray), np.array([BOX], np.float32))


@pytest.fixture(scope="module")
def maker(photo: Photo) -> SceneMaker:
    rng = np.random.default_rng(5)
    masks = [face.masks[40] for face in drawn_faces(4)]
    return SceneMaker([photo], PlateRenderer(rng, faces="drawn"), masks, OPENCV_FONTS, rng)


def test_corners_land_where_the_warp_puts_them() -> None:
    quad = np.array([[40.0, 30.0], [200.0, 42.0], [196.0, 90.0], [36.0, 74.0]], np.float32)
    image = np.full((160, 260), 20, np.uint8)
    flat = np.full((110, 520), 240, np.uint8)
    flat[:, :260] = 140  # the left half is darker: top left must come out on the left
    lay(image, flat, quad)
    inside = np.zeros_like(image)
    cv2.fillConvexPoly(inside, quad.round().astype(np.int32), 1)
    away = cv2.dilate(inside, np.ones((7, 7), np.uint8)) == 0
    within = cv2.erode(inside, np.ones((7, 7), np.uint8)) == 1
    assert (image[away] == 20).all()
    assert (image[within] > 120).all()
    assert image[60, 60] == 140
    assert image[70, 180] == 240


def test_the_rim_is_covered_to_a_fraction_of_a_pixel() -> None:
    quad = np.array([[20.0, 10.0], [60.0, 10.0], [60.0, 20.0], [20.0, 20.0]], np.float32)
    image = np.zeros((40, 90), np.uint8)
    lay(image, np.full((110, 440), 200, np.uint8), quad)
    assert image.astype(float).sum() / 200 == pytest.approx(40 * 10, rel=0.03)
    assert image[15, 18] == 0
    assert image[15, 22] == 200


def test_homography_maps_the_outer_edges_onto_the_quad() -> None:
    quad = np.array([[5.0, 7.0], [105.0, 12.0], [103.0, 40.0], [4.0, 33.0]], np.float32)
    rim = np.array([[0, 0, 1], [52, 0, 1], [52, 11, 1], [0, 11, 1]]) - [0.5, 0.5, 0]
    there = rim @ homography((11, 52), quad).T
    assert there[:, :2] / there[:, 2:] + 0.5 == pytest.approx(quad, abs=1e-3)


def test_a_view_keeps_labels_on_their_pixels(photo: Photo) -> None:
    for scale in (0.31, 0.5, 1.0, 2.3):
        corner = np.array([-BOX[0] * scale + 20, -BOX[1] * scale + 20])
        seen = view(photo, np.column_stack([np.eye(2) * scale, corner]).astype(np.float32), 120, 340, pad=0)
        bright = (seen.astype(float) - 100).clip(0) / 130
        wide, high = (BOX[2] - BOX[0]) * scale, (BOX[3] - BOX[1]) * scale
        middle = bright[20 + int(high / 2), :].sum()
        assert middle == pytest.approx(wide, abs=1.3)
        columns = np.flatnonzero(bright[20 + int(high / 2)] > 0.5)
        assert columns[0] == pytest.approx(20, abs=1)
        assert columns[-1] + 1 == pytest.approx(20 + wide, abs=1)


def test_canvases_obey_the_labelling_rules(maker: SceneMaker) -> None:
    exact = 0
    for _ in range(25):
        scene = maker.canvas()
        assert scene.image.shape == (HEIGHT, WIDTH)
        assert scene.image.dtype == np.uint8
        assert len(scene.boxes) == len(scene.quads) == len(scene.corner) == len(scene.use)
        wide = scene.boxes[:, 2] - scene.boxes[:, 0]
        assert (wide[scene.use] >= MIN_WIDTH_PX).all()
        assert (scene.boxes >= 0).all()
        assert (scene.boxes <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all()
        for quad in scene.quads[scene.corner == 1]:
            exact += 1
            area = cv2.contourArea(quad, oriented=True)
            assert area > 0, "a pasted plate is never mirrored: its corners run clockwise"
            assert quad[0, 0] < quad[1, 0]
    assert exact > 20


def test_a_close_view_is_a_plate_in_a_corner_of_the_padding(maker: SceneMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "CLOSE_SHARE", 1.0)
    monkeypatch.setattr(scenes, "CLOSE_UP", ((0.01,) * 4, (0.15,) * 4))
    drawn = 0
    for _ in range(40):
        scene = maker.tile(192, 320, 270.0)
        (box,) = scene.boxes
        wide, high = box[2] - box[0], box[3] - box[1]
        right, low = box[2] + 0.25 * wide + 3, box[3] + 0.25 * high + 3
        assert (scene.image[:, int(right) :] == PAD).all()
        assert (scene.image[int(low) :] == PAD).all()
        cut = [np.flatnonzero((scene.image != PAD).any(axis=axis))[-1] + 1 for axis in (0, 1)]
        assert (box[2:] <= np.array(cut) + 1).all()  # however a plate laid over it leans
        assert (scene.image[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] != PAD).mean() > 0.7
        drawn += int(scene.corner[0])
    assert 10 < drawn < 30


def test_every_other_close_view_has_some_of_the_vehicle_around_its_plate(
    maker: SceneMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes, "CLOSE_SHARE", 1.0)
    little = 0
    for _ in range(60):
        scene = maker.tile(192, 320, 270.0)
        shown = (scene.image != PAD).any(axis=1).sum()
        little += bool(shown > 2 * (scene.boxes[0, 3] - scene.boxes[0, 1]))
    assert 18 < little < 42


def test_what_nobody_can_see_is_not_asked_for(maker: SceneMaker) -> None:
    dim = 0
    for _ in range(200):  # one plate in twenty drowns in night, glare or noise
        scene = maker.canvas()
        for box, use in zip(scene.boxes, scene.use, strict=True):
            if contrast(scene.image, box) < LEAST_CONTRAST:
                dim += 1
                assert not use
        if dim > 3:
            return
    pytest.fail("every plate is seen")


def test_noise_is_no_contrast() -> None:
    rng = np.random.default_rng(4)
    box = np.array([10, 10, 110, 32], np.float32)
    image = np.clip(rng.normal(40, 8, (60, 140)), 0, 255).astype(np.uint8)
    assert contrast(image, box) < LEAST_CONTRAST
    image[14:28, 20:100:8] = 90
    assert contrast(image, box) > LEAST_CONTRAST


def test_a_holder_lies_about_its_plate_and_not_over_it() -> None:
    rng = np.random.default_rng(6)
    masks = [face.masks[40] for face in drawn_faces(2)]
    lettered = 0
    for _ in range(40):
        quad = seen_quad(rng, (160.0, 120.0), 120.0, 4.7, tilt=25, turn=40)
        picture, corners = holder(rng, masks, quad, 30.0, 200.0)
        middle = quad.mean(0)
        assert all(cv2.pointPolygonTest(corners, (float(x), float(y)), False) > 0 for x, y in quad)
        assert np.linalg.norm(corners - middle, axis=1).max() < 1.5 * np.linalg.norm(quad - middle, axis=1).max()
        # Its line stands in the strip beside the plate, so the plate covers none of it.
        to_picture = np.linalg.inv(homography(picture.shape, corners))
        inside = np.column_stack([quad - 0.5, np.ones(4)]) @ to_picture.T
        rows = inside[:, 1] / inside[:, 2]
        within = picture[int(np.ceil(rows.min())) + 2 : int(rows.max()) - 1]
        assert (within == 30).all()
        lettered += bool((picture > 60).any())
    assert 10 < lettered < 40


def test_a_mirrored_view_asks_for_no_real_plate(maker: SceneMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {True: 0, False: 0}
    flips: list[bool] = []
    place = SceneMaker._place

    def told(*args: object) -> object:
        found = place(*args)  # type: ignore[arg-type]
        flips.append(found[1])
        return found

    monkeypatch.setattr(SceneMaker, "_place", told)
    monkeypatch.setattr(scenes, "CLOSE_SHARE", 0.0)  # those are never mirrored
    for _ in range(40):
        scene = maker.tile(HEIGHT, WIDTH, 620.0)
        asked[flips[-1]] += int(((scene.corner < 1) & scene.use).sum())
    assert asked[False] > 3
    assert asked[True] == 0


def test_pasted_plates_do_not_overlap(maker: SceneMaker) -> None:
    for _ in range(15):
        scene = maker.tile(HEIGHT, WIDTH, 620.0)
        for a in range(len(scene.boxes)):
            for b in range(a):
                low = np.maximum(scene.boxes[a, :2], scene.boxes[b, :2])
                high = np.minimum(scene.boxes[a, 2:], scene.boxes[b, 2:])
                assert (high - low).min() <= 0


def test_the_same_seed_gives_the_same_canvas(photo: Photo) -> None:
    masks = [face.masks[40] for face in drawn_faces(2)]
    scenes = []
    for _ in range(2):
        rng = np.random.default_rng(11)
        scenes.append(SceneMaker([photo], PlateRenderer(rng, faces="drawn"), masks, OPENCV_FONTS, rng).canvas())
    assert (scenes[0].image == scenes[1].image).all()
    assert (scenes[0].quads == scenes[1].quads).all()


def test_tilt_stays_within_its_limit() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        quad = seen_quad(rng, (100.0, 80.0), 90.0, 4.7, tilt=25, turn=0)
        along = quad[1] - quad[0]
        assert abs(np.degrees(np.arctan2(along[1], along[0]))) <= 30  # five of it by perspective
        assert np.ptp(quad[:, 0]) == pytest.approx(90, rel=1e-3)


def test_a_plate_that_is_turned_away_below_the_camera_is_sheared_not_rolled() -> None:
    rng = np.random.default_rng(8)
    slopes, sides = [], []
    for _ in range(400):
        quad = seen_quad(rng, (100.0, 80.0), 90.0, 4.7, tilt=0, turn=50)
        along, down = quad[1] - quad[0], quad[3] - quad[0]
        slopes.append(abs(np.degrees(np.arctan2(along[1], along[0]))))
        sides.append(abs(np.degrees(np.arctan2(down[0], down[1]))))
    steep = np.array(slopes) > 15
    assert steep.sum() > 50
    assert np.median(np.array(sides)[steep]) < 0.4 * np.median(np.array(slopes)[steep])


def test_so_many_pasted_plates_are_half_as_high_as_wide() -> None:
    asked: list[bool] = []

    class Flat:
        gray = np.full((10, 40), 200, np.uint8)

    class Asked:
        def flat(self, *, american: bool) -> Flat:
            asked.append(american)
            return Flat()

    PlatePool(Asked(), np.random.default_rng(6), size=2000)
    assert np.mean(asked) == pytest.approx(AMERICAN_SHARE, abs=0.04)
    assert AMERICAN_SHARE > 0.1


def test_what_stands_on_a_panel_is_longer_than_a_plate() -> None:
    rng = np.random.default_rng(8)
    panels = [lettering(rng, bare=False) for _ in range(300)]
    short = [panel for panel in panels if len(panel) < 3]
    assert len(short) > 30
    assert all(max(len(line.replace(" ", "")) for line in panel) > LONGEST for panel in short)
    assert any(max(map(len, lettering(rng, bare=True))) < 5 for _ in range(300))


def test_clutter_is_a_stencil_or_a_whole_panel() -> None:
    rng = np.random.default_rng(8)
    masks = [face.masks[40] for face in drawn_faces(3)]
    for _ in range(40):
        gray, alpha = clutter(rng, masks)
        assert gray.shape == alpha.shape
        assert (alpha == 255).all() or len(np.unique(gray)) == 1


def test_rides_are_held_back_whole_and_others_by_name() -> None:
    for ride in HELD_BACK_RIDES:
        assert held_back("ro_dashcam", "any", ride)
    assert not held_back("ro_dashcam", "any", "dayride_type1_001")
    share = np.mean([held_back("openimages_plates", f"{i:016x}", "") for i in range(4000)])
    assert share == pytest.approx(0.10, abs=0.02)
    assert held_back("pl_photos", "x", "") == held_back("pl_photos", "x", "other")


def test_labels_are_corrected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pl_photos").mkdir()
    rows = [{"image": f"{name}.png", "boxes": [[1, 2, 30, 10], [60.4, 5, 20, 9]]} for name in ("one", "other")]
    (tmp_path / "pl_photos/labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for row in rows:
        cv2.imwrite(str(tmp_path / "pl_photos" / str(row["image"])), np.zeros((80, 120), np.uint8))
    listed = tmp_path / "corrections.json"
    lacking = {"pl_photos": {"one": [[50, 40, 20, 6]]}, "openimages_plates": {"other": [[0, 0, 9, 9]]}}
    listed.write_text(json.dumps(lacking | {"pl_photos wrong": {"one": [[60, 5, 20, 9]]}}))
    monkeypatch.setattr(splits, "CORRECTIONS", listed)
    found = {photo.name: photo.boxes.tolist() for photo, _ in splits.load(tmp_path, "pl_photos")}
    assert found["one"] == [[1, 2, 31, 12], [50, 40, 70, 46]]
    assert found["other"] == [[1, 2, 31, 12], pytest.approx([60.4, 5, 80.4, 14])]


def test_captions_are_written_beside_plates_and_never_over_one() -> None:
    captions = Captions(np.random.default_rng(3), OPENCV_FONTS)
    plates = np.array([[0, 0, 160, 40], [400, 330, 640, 384]], np.float32)  # where most of them would lie
    written = 0
    for _ in range(200):
        picture = np.full((384, 640), 100, np.uint8)
        captions.write(picture, plates)
        written += bool((picture != 100).any())
        for x1, y1, x2, y2 in plates.astype(int):
            assert (picture[y1:y2, x1:x2] == 100).all()
    assert written > 60


def test_no_font_is_both_learnt_and_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ANPR_FONTS", str(tmp_path))
    fonts = {tmp_path / f"npm/{name}/files/{name}-latin-400-normal.woff" for name in "abcde"}
    for font in fonts:
        font.parent.mkdir(parents=True)
        font.touch()
    learnt, measured = set(learnt_fonts()), set(measured_fonts())
    assert not learnt & measured
    assert measured
    assert learnt | measured == fonts | set(OPENCV_FONTS)


def test_nothing_like_a_plate_is_written_on_a_box() -> None:
    """There it would be one: a network that learns to leave it alone unlearns plates."""
    rng = np.random.default_rng(4)
    like = re.compile(r"[A-Z]{1,3}[- ]?[0-9]{1,3}[- ]?[A-Z]{1,3}|[A-Z]{2,3}-[0-9]{2,4}")
    assert not any(like.fullmatch(text(rng, boxed=True)) for _ in range(3000))
    assert any(like.fullmatch(text(rng, boxed=False)) for _ in range(3000))
