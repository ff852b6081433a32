"""Pictures that move under something that stands still, and such that do not."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge_anpr.datatypes import Box
from edge_anpr.vision.caption import LEAST_LOOKS, RENEWED, Surroundings

HEIGHT, WIDTH = 240, 320
BOX = Box(100.0, 90.0, 110.0, 26.0)
Scene = Callable[[int], tuple[np.ndarray, Box]]
_rng = np.random.default_rng(3)
GROUND = cv2.resize(
    _rng.integers(20, 230, (30, 60)).astype(np.uint8), (2 * WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC
)


def stamp(picture: np.ndarray, box: Box, *, solid: bool = True) -> np.ndarray:
    """Lettering, with a ground of its own or without."""
    across, down, left, top = int(box.width), int(box.height), int(box.left), int(box.top)
    spot = picture[top : top + down, left : left + across]
    letters = np.zeros((down, across), np.uint8)
    cv2.putText(letters, "KB 01 KB", (4, down - 6), cv2.FONT_HERSHEY_SIMPLEX, across / 150, 255, 2)
    spot[letters[: spot.shape[0], : spot.shape[1]] > 127] = 15
    if solid:
        spot[letters[: spot.shape[0], : spot.shape[1]] <= 127] = 225
    return picture


def noisy(picture: np.ndarray, index: int, sigma: float = 4.0) -> np.ndarray:
    noise = np.random.default_rng(index).normal(0, sigma, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def view(shift: int) -> np.ndarray:
    return GROUND[:, shift : shift + WIDTH].copy()


def over_a_moving_picture(index: int) -> tuple[np.ndarray, Box]:
    return noisy(stamp(view(3 * index), BOX), index), BOX


def letters_alone(index: int) -> tuple[np.ndarray, Box]:
    """Over what has less contrast than they have."""
    return noisy(stamp(120 + view(3 * index) // 4, BOX, solid=False), index), BOX


def at_the_border(index: int) -> tuple[np.ndarray, Box]:
    box = Box(2.0, HEIGHT - 24.0, 90.0, 22.0)
    return noisy(stamp(view(3 * index), box), index), box


def parked(index: int) -> tuple[np.ndarray, Box]:
    return noisy(stamp(view(40), BOX), index, 8.0), BOX


def parked_in_flickering_light(index: int) -> tuple[np.ndarray, Box]:
    return noisy(stamp(view(40), BOX) * (0.6 + 0.3 * np.sin(index)), index), BOX


def parked_and_passed_by(index: int) -> tuple[np.ndarray, Box]:
    picture = stamp(view(40), BOX)
    if index % 10 in (4, 5, 6):
        picture[:, 90 : 90 + 140] = view(170)[:, 90 : 90 + 140]
        stamp(picture, BOX)
    return noisy(picture, index), BOX


def saturated_in_the_dark(index: int) -> tuple[np.ndarray, Box]:
    dark = np.full((HEIGHT, WIDTH), 12, np.uint8)
    return np.maximum(noisy(dark, index, 9.0), stamp(np.zeros_like(dark), BOX)), BOX


def braking(index: int) -> tuple[np.ndarray, Box]:
    """Its lamps light its body up, the plate is white already."""
    lit = np.clip(view(40) * (1.0 + 0.8 * (index % 12 > 2)), 0, 255).astype(np.uint8)
    return noisy(stamp(lit, BOX), index), BOX


def one_after_another(index: int) -> tuple[np.ndarray, Box]:
    """Vehicles that halt at the same place, one with a plate of light letters on black."""
    first = stamp(view(0), BOX)
    second = 255 - stamp(255 - view(150), BOX)
    return noisy(first if index < 3 else second, index), BOX


def swaying(index: int) -> tuple[np.ndarray, Box]:
    """By a fifth of the plate's height, and its bumper and grille show more of it than the plate does."""
    down = 5 * (index % 4 > 0)
    picture = np.where(np.arange(HEIGHT)[:, None] % 24 < 12, 20, 230) + np.zeros((1, WIDTH), int)
    plate = stamp(picture.astype(np.uint8), BOX)[90:116, 100:210]
    picture[90:116, 100:210] = plate // 3 + 60
    return noisy(np.roll(picture, down, axis=0), index), Box(BOX.left, BOX.top + down, BOX.width, BOX.height)


def driving_with_the_camera(index: int) -> tuple[np.ndarray, Box]:
    """The vehicle's own body is what is around its plate, all else moves."""
    picture = view(3 * index)
    picture[40:190, 40:270] = view(40)[40:190, 40:270]
    return noisy(stamp(picture, BOX), index), BOX


def driving_off(index: int) -> tuple[np.ndarray, Box]:
    box = Box(BOX.left + 6.0 * min(index, 30), BOX.top, BOX.width, BOX.height)
    return noisy(stamp(view(0), box), index), box


def after(scene: Scene, looks: int) -> Surroundings:
    surroundings = Surroundings()
    for index in range(looks):
        surroundings.look(*scene(index))
    return surroundings


@pytest.mark.parametrize("scene", [over_a_moving_picture, letters_alone, at_the_border])
def test_what_stands_still_over_a_moving_picture_is_written_over_it(scene: Scene) -> None:
    assert after(scene, 3 * RENEWED).is_caption
    assert after(scene, 15).is_caption
    assert not after(scene, LEAST_LOOKS).is_caption  # the first look is what the others are compared with


@pytest.mark.parametrize(
    "scene",
    [
        parked,
        parked_in_flickering_light,
        parked_and_passed_by,
        saturated_in_the_dark,
        braking,
        one_after_another,
        swaying,
        driving_with_the_camera,
        driving_off,
    ],
)
def test_a_plate_is_not(scene: Scene) -> None:
    for looks in (1, 8, 15, 3 * RENEWED):
        assert not after(scene, looks).is_caption


def test_what_leaves_its_place_is_none_whatever_moved_around_it() -> None:
    surroundings = after(over_a_moving_picture, 15)
    for down in (30, 0, 0, 0, 0):
        picture, box = over_a_moving_picture(16)
        surroundings.look(picture, Box(box.left, box.top + down, box.width, box.height))
    assert not surroundings.is_caption


def test_shadows_that_wander_in_an_hour_are_no_movement() -> None:
    surroundings, shifts = Surroundings(), np.linspace(0, 100, 3000)
    for index, shift in enumerate(shifts):
        surroundings.look(noisy(stamp(view(int(shift)), BOX), index % 50), BOX)
    assert not surroundings.is_caption


def test_it_is_overwritten_when_it_leaves_and_when_it_is_forgotten() -> None:
    for forgotten in (True, False):
        surroundings = after(parked, 3)
        kept = surroundings._before
        assert kept is not None
        assert kept.any()
        if forgotten:
            surroundings.forget()
        else:
            surroundings.look(parked(3)[0], Box(BOX.left, BOX.top + 30, BOX.width, BOX.height))
        assert not kept.any()


def test_of_all_frames_only_the_one_compared_with_is_kept(resized: list[np.ndarray]) -> None:
    surroundings = Surroundings()
    for index in range(LEAST_LOOKS):
        surroundings.look(*over_a_moving_picture(index))
    assert len(resized) == LEAST_LOOKS
    assert resized[0].any()
    assert not any(patch.any() for patch in resized[1:])


@pytest.mark.parametrize("size", [(40, 9), (9, 40), (12, 12), (60, 160)])
def test_a_picture_that_is_nothing_but_a_plate_has_no_surroundings(size: tuple[int, int]) -> None:
    high, wide = size
    surroundings = Surroundings()
    for index in range(10):
        picture = np.random.default_rng(index).integers(0, 255, size).astype(np.uint8)
        surroundings.look(picture, Box(0.0, 0.0, float(wide), float(high)))
    assert not surroundings.is_caption


@pytest.mark.filterwarnings("error")
def test_a_plate_as_large_as_its_picture_is_no_caption_whatever_moves_beside_it() -> None:
    box, surroundings = Box(42.8, -13.2, 536.7, 429.8), Surroundings()
    plate = np.random.default_rng(1).integers(0, 255, (48, 64), np.uint8).repeat(10, axis=0).repeat(10, axis=1)
    for index in range(LEAST_LOOKS + 2):
        picture = np.random.default_rng(index).integers(0, 255, (480, 640), np.uint8) // 2 + 40 * (index % 4)
        picture[:, 36:586] = plate[:, 36:586]
        surroundings.look(picture.astype(np.uint8), box)
    assert not surroundings.is_caption
