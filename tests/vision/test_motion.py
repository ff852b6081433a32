"""Roads that are drawn: what must wake the unit, and what must not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import pytest

from edge_anpr.vision.motion import Motion

HEIGHT, WIDTH, FPS = 360, 640, 12.5
Scene = Callable[[int, np.random.Generator], np.ndarray]


@cache
def rustle() -> list[np.ndarray]:
    return [np.random.default_rng(seed).normal(0, 1, (HEIGHT, WIDTH)).astype(np.float32) for seed in range(7)]


def road(level: float = 1.0, noise: float = 4.0) -> Scene:
    """An empty road with houses, as a camera with this much noise sees it."""
    rng = np.random.default_rng(7)
    coarse = cv2.resize(rng.integers(30, 220, (9, 16)).astype(np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    base = coarse.astype(np.float32) * level

    def scene(_index: int, rng: np.random.Generator) -> np.ndarray:
        return base + noise * rustle()[int(rng.integers(7))]

    return scene


def watched(scene: Scene, seconds: float, motion: Motion | None = None, begin: int = 0) -> list[bool]:
    """Whether something moves, frame by frame."""
    motion, rng = motion or Motion(), np.random.default_rng(1)
    return [
        motion.look(np.clip(scene(index, rng), 0, 255).astype(np.uint8), round(index * 1e9 / FPS))
        for index in range(begin, begin + round(seconds * FPS))
    ]


def car(
    scene: Scene, *, level: float, size: tuple[int, int], speed: float, at: int, stops: int = 10**6, y: int = 200
) -> Scene:
    """A vehicle ``size`` (width, height) px, from the left ``at`` a frame, ``speed`` px a frame; it may stop."""

    def with_car(index: int, rng: np.random.Generator) -> np.ndarray:
        picture = scene(index, rng)
        right = round((min(index, stops) - at) * speed)
        if right > 0:
            picture[y : y + size[1], max(right - size[0], 0) : max(right, 0)] = level + rng.normal(0, 4)
        return picture

    return with_car


@pytest.mark.parametrize("noise", [2.0, 8.0, 20.0])
def test_an_empty_road_is_still_however_much_the_camera_rustles(noise: float) -> None:
    assert not any(watched(road(0.3, noise), 60))


@pytest.mark.parametrize(("drops", "thick", "length"), [(60, 1, 15), (10, 2, 25), (30, 2, 25)])
def test_rain_in_the_infrared_wakes_hardly_ever(drops: int, thick: int, length: int) -> None:
    empty = road(0.2, 6.0)

    def rain(index: int, rng: np.random.Generator) -> np.ndarray:
        picture = empty(index, rng)
        for x, y in rng.integers(0, (WIDTH, HEIGHT), (drops, 2)):
            cv2.line(picture, (int(x), int(y)), (int(x) + 3, int(y) + length), float(rng.uniform(80, 220)), thick)
        return picture

    motion = Motion()
    watched(rain, 30, motion)
    assert sum(watched(rain, 40, motion, begin=375)) <= 0.05 * 40 * FPS
    after = 375 + 500
    car_in_rain = car(rain, level=60.0, size=(70, 50), speed=8.0, at=after)
    assert all(watched(car_in_rain, 4, motion, begin=after)[9:])


def test_clouds_and_exposure_wake_nobody() -> None:
    empty = road(0.7, 4.0)
    slow = watched(lambda index, rng: empty(index, rng) * (1 + 0.3 * np.sin(index / 200)), 50)
    step = watched(lambda index, rng: empty(index, rng) + (15 if index > 100 else 0), 10)
    assert (sum(slow), sum(step)) == (0, 0)


def test_a_tree_in_the_wind_is_known_after_a_while() -> None:
    empty = road()

    def windy(index: int, rng: np.random.Generator) -> np.ndarray:
        picture = empty(index, rng)
        picture[:150, 400:520] += 25 * np.sin(index * 1.3 + np.arange(120) / 17).astype(np.float32)
        return picture

    assert not any(watched(windy, 90)[-round(30 * FPS) :])


@pytest.mark.parametrize("level", [20.0, 90.0, 150.0, 240.0])
@pytest.mark.parametrize(("size", "speed"), [((60, 40), 6.0), ((60, 40), 45.0), ((250, 150), 3.0), ((600, 300), 60.0)])
def test_a_vehicle_is_seen_in_every_frame_but_its_first(level: float, size: tuple[int, int], speed: float) -> None:
    motion = Motion()
    empty = road()
    assert not any(watched(empty, 30, motion))
    at = round(30 * FPS)
    through = round(WIDTH / speed)
    seen = watched(car(empty, level=level, size=size, speed=speed, at=at), through / FPS, motion, begin=at)
    enters = round(max(40 / speed, 2)) + 1  # as much of it as a plate takes must be in the picture
    assert all(seen[enters:])


def test_one_that_parks_is_part_of_the_road_and_so_is_the_road_when_it_has_left() -> None:
    motion = Motion()
    scene = car(road(), level=90.0, size=(250, 150), speed=20.0, at=100, stops=120)
    seen = watched(scene, 40, motion)
    assert all(seen[104:121])
    assert not any(seen[121 + round(8 * FPS) :])
    gone = watched(road(), 20, motion, begin=round(40 * FPS))
    assert any(gone[:3])
    assert not any(gone[round(8 * FPS) :])


def test_another_that_passes_a_parked_one_is_seen() -> None:
    motion = Motion()
    parked = car(road(), level=90.0, size=(250, 150), speed=20.0, at=0, stops=20)
    watched(parked, 30, motion)
    begin = round(30 * FPS)
    assert not any(watched(parked, 2, motion, begin=begin))
    second = car(parked, level=200.0, size=(100, 60), speed=20.0, at=begin + 25, y=100)
    assert all(watched(second, 1.5, motion, begin=begin + 25)[4:])


def test_a_queue_that_fills_the_road_most_of_the_time_does_not_blind_it() -> None:
    """Vehicles for nine seconds of ten, for two minutes, then one more."""
    motion, empty = Motion(), road()

    def queue(index: int, rng: np.random.Generator) -> np.ndarray:
        picture = empty(index, rng)
        if index % 125 < 112:
            shift = index * 8 % 160
            for left in range(shift - 160, WIDTH, 160):
                picture[180:280, max(left, 0) : max(left + 130, 0)] = 40 + 60 * (left // 160 % 3)
        return picture

    watched(queue, 120, motion)
    begin = round(130 * FPS)
    watched(empty, 2, motion, begin=begin)
    begin += 25
    seen = watched(car(empty, level=20.0, size=(120, 80), speed=20.0, at=begin), 1.5, motion, begin=begin)
    assert all(seen[5:])


def test_nothing_of_the_picture_is_left_once_it_is_forgotten() -> None:
    motion = Motion()
    watched(road(), 2, motion)
    held = motion._usual, motion._before
    motion.forget()
    assert not any(array is None or array.any() for array in held)
    assert not any(watched(road(0.5), 2, motion))


def test_pictures_of_another_size_begin_anew() -> None:
    motion = Motion()
    watched(road(), 1, motion)
    assert not motion.look(np.zeros((480, 640), np.uint8), 10**9)
