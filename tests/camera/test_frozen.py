import numpy as np
import pytest

from edge_anpr.camera.frozen import LEAST_FRAMES, Stillness


def test_the_same_pixels_again_and_again_are_counted_in_seconds() -> None:
    picture = np.random.default_rng(1).integers(0, 255, (480, 640), np.uint8)
    stillness = Stillness()
    said = [stillness.look(picture, index * 10**9) for index in range(LEAST_FRAMES + 3)]
    assert said == [0.0] * LEAST_FRAMES + [5.0, 6.0, 7.0]


def test_a_sensors_noise_is_motion() -> None:
    draw = np.random.default_rng(1)
    stillness = Stillness()
    for index in range(50):
        noise = draw.integers(0, 2, (480, 640), np.uint8)
        assert stillness.look(noise, index * 10**9) == 0.0


@pytest.mark.parametrize("shape", [(480, 640), (6, 50), (1, 1), (2160, 3840)])
def test_one_value_that_changes_is_motion_in_pictures_of_any_size(shape: tuple[int, int]) -> None:
    stillness = Stillness()
    picture = np.zeros(shape, np.uint8)
    for index in range(10):
        stillness.look(picture, index * 10**9)
    assert stillness.look(picture, 10**10) > 0
    picture[:, -1] += 1
    assert stillness.look(picture, 11 * 10**9) == 0.0
