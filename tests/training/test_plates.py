"""The plate renderer, with drawn faces only: no font, no Pillow, no torch."""

from __future__ import annotations

import string
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

TRAINING = Path(__file__).parents[2] / "models/training"
sys.path.insert(0, str(TRAINING))

import layouts  # noqa: E402
from degrade import bend, bloom, degrade, far, rain, snow, tow_bar  # noqa: E402
from glyphs import ALPHABET, CAPS_PX, drawn_faces  # noqa: E402
from plates import PlateRenderer  # noqa: E402
from sprites import accented  # noqa: E402

PLAIN = set(string.ascii_uppercase + string.digits)


def some(drawing: PlateRenderer, count: int) -> list[tuple[np.ndarray, str]]:
    """So many crops, the rows of two-row plates among them."""
    found: list[tuple[np.ndarray, str]] = []
    while len(found) < count:
        found += drawing.crops()
    return found[:count]


def renderer(seed: int = 5) -> PlateRenderer:
    return PlateRenderer(np.random.default_rng(seed), faces="drawn")


def test_crops_have_the_shape_the_ocr_takes_and_plain_texts() -> None:
    drawing = renderer()
    lengths = set()
    for crop, text in some(drawing, 300):
        assert crop.shape == (32, 128)
        assert crop.dtype == np.uint8
        assert set(text) <= PLAIN
        lengths.add(len(text))
    assert lengths >= {4, 5, 6, 7, 8}
    assert max(lengths) <= 10


def test_few_crops_are_laid_out_wrongly_and_say_nothing() -> None:
    drawing = renderer()
    empty = sum(not text for _, text in some(drawing, 600))
    assert 2 <= empty <= 40


def test_most_crops_keep_contrast() -> None:
    drawing = renderer()
    contrasts = [float(crop.std()) for crop, _ in some(drawing, 300)]
    assert np.median(contrasts) > 20


def test_the_same_seed_draws_the_same_plates() -> None:
    one, two, other = renderer(1), renderer(1), renderer(2)
    for (crop_a, text_a), (crop_b, text_b) in zip(some(one, 40), some(two, 40), strict=True):
        assert text_a == text_b
        assert np.array_equal(crop_a, crop_b)
    flat_a, flat_b = one.flat(), two.flat()
    assert flat_a.text == flat_b.text
    assert np.array_equal(flat_a.bgr, flat_b.bgr)
    assert [text for _, text in some(one, 5)] != [text for _, text in some(other, 5)]


def test_a_flat_dutch_plate_is_yellow_with_a_blue_band_and_says_what_was_asked() -> None:
    drawing = renderer()
    for _ in range(20):
        plate = drawing.flat("XX-00-99", style="NL")
        assert plate.text == "XX0099"
        assert plate.rows == 1
        assert plate.gray.shape == plate.bgr.shape[:2]
        assert plate.bgr.shape[1] / plate.bgr.shape[0] == pytest.approx(520 / 110, rel=0.02)
        blue, _, red = np.median(plate.bgr[4:-4, plate.bgr.shape[1] // 4 :].reshape(-1, 3), axis=0)
        assert red > 180
        assert blue < 90
    bands = [drawing.flat("XX-00-99", style="NL").bgr[10:-10, 8] for _ in range(20)]
    assert sum(float(b[:, 0].mean()) > float(b[:, 2].mean()) for b in bands) >= 10


def test_flat_plates_come_in_one_and_two_rows() -> None:
    drawing = renderer()
    seen = {plate.rows: plate.gray.shape for plate in (drawing.flat() for _ in range(120))}
    assert seen.keys() == {1, 2}
    assert 1.3 < seen[2][1] / seen[2][0] < 1.7


def test_the_ink_stands_out_of_the_ground_in_gray() -> None:
    drawing = renderer()
    for style in layouts.STYLES:
        plate = drawing.flat("H8-M4-T1", style=style).gray
        low, high = np.percentile(plate, (3, 97))
        assert high - low > 60, style


def test_every_drawn_face_has_36_different_glyphs_at_each_size() -> None:
    for face in drawn_faces(12):
        for cap in CAPS_PX:
            glyphs = face.masks[cap]
            assert set(glyphs) == set(ALPHABET)
            assert all(mask.shape[0] == cap and mask.max() > 128 for mask in glyphs.values())
        big = face.masks[CAPS_PX[0]]
        assert len({mask.tobytes() for mask in big.values()}) >= 35  # O and 0 may be one shape


def test_every_layout_fills_to_a_plate_of_two_to_ten_characters() -> None:
    rng = np.random.default_rng(3)
    for _ in range(3000):
        for marked, style, _ in (layouts.national(rng), layouts.arbitrary(rng)):
            plain = [c for c in marked if c not in "-. *"]
            assert 2 <= len(plain) <= 10
            assert {layouts.FOLDED.get(c, c) for c in plain} <= PLAIN
            assert style in layouts.STYLES


def test_two_rows_lose_no_character() -> None:
    rng = np.random.default_rng(4)
    for _ in range(2000):
        marked, _, _ = layouts.arbitrary(rng)
        rows = layouts.two_rows(marked, rng)
        assert [c for c in "".join(rows) if c in PLAIN] == [c for c in marked if c in PLAIN]


def test_degrade_keeps_shape_and_leaves_its_input_alone() -> None:
    rng = np.random.default_rng(6)
    for shape in ((30, 120), (30, 120, 3)):
        clean = rng.integers(0, 255, shape, dtype=np.uint8)
        before = clean.copy()
        for _ in range(40):
            out = degrade(clean, rng, cap_px=20)
            assert out.shape == shape
            assert out.dtype == np.uint8
        assert np.array_equal(clean, before)


def test_an_american_plate_is_half_as_high_as_wide_in_gray_and_in_colour() -> None:
    drawing = PlateRenderer(np.random.default_rng(12), faces="drawn")
    for plate in (drawing.flat(american=True) for _ in range(30)):
        high, wide = plate.gray.shape
        assert 1.85 < wide / high < 2.35
        assert (plate.bgr.shape, plate.rows) == ((high, wide, 3), 1)
        assert plate.text


def test_distance_alone_leaves_a_small_plate_as_it_is_but_for_contrast() -> None:
    rng = np.random.default_rng(4)
    picture = PlateRenderer(rng, faces="drawn").worn(["AB12CD"], "NL", "NL", 48)
    small = np.asarray(cv2.resize(picture, (48, 11), interpolation=cv2.INTER_AREA), np.uint8)
    distant = [np.corrcoef(small.ravel(), far(small, rng).ravel())[0, 1] for _ in range(200)]
    weathered = [np.corrcoef(small.ravel(), degrade(small, rng, 8).ravel())[0, 1] for _ in range(200)]
    assert min(distant) > 0.9
    assert np.percentile(weathered, 5) < 0.9


def test_weather_changes_a_part_of_the_picture_and_keeps_its_shape() -> None:
    rng = np.random.default_rng(8)
    clean = np.linspace(60, 140, 120, dtype=np.float32)[None] + np.linspace(0, 60, 30, dtype=np.float32)[:, None]
    before = clean.copy()
    for effect in (snow, tow_bar, rain, bend, bloom):
        changed = 0
        for _ in range(12):
            out = effect(clean, rng, 20.0)
            assert out.shape == clean.shape
            assert out.dtype == np.float32
            assert np.isfinite(out).all()
            changed += bool(np.abs(out - clean).max() > 2)
        assert changed >= 6, effect
    assert np.array_equal(clean, before)


def test_letters_with_marks_are_drawn_lower_and_labelled_without() -> None:
    glyphs = drawn_faces(2)[0].masks[CAPS_PX[0]]
    more = accented(glyphs, ["ŠB-37Ä"])
    assert set(more) - set(glyphs) == {"Š", "Ä"}
    for char in "ŠÄ":
        assert more[char].shape == glyphs[layouts.FOLDED[char]].shape
        rows = np.flatnonzero(more[char].max(axis=1))
        assert rows[0] < 10
        assert more[char][: more[char].shape[0] // 5].any()
    assert renderer().flat("ŠB-37-Ä").text == "SB37A"
    assert accented(glyphs, ["DB-37"]) is glyphs


def test_drawn_plates_need_neither_torch_nor_pillow_nor_fonts() -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['PIL'] = None; import numpy as np\n"
        "from plates import PlateRenderer; PlateRenderer(np.random.default_rng(0), faces='drawn').crops()"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=TRAINING, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(("band", "alike"), [("GB", True), ("NL", False)])
def test_britain_draws_one_shape_for_o_and_zero_and_for_i_and_one(band: str, alike: bool) -> None:
    first, second = (
        PlateRenderer(np.random.default_rng(5), faces="drawn").worn([text], "white", band, 120.0)
        for text in ("AO1BI0", "A0IB1O")
    )
    assert (first.shape == second.shape and bool((first == second).all())) is alike
