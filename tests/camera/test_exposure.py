import pytest

from edge_anpr.camera.exposure import Dusk, Exposure, Profile, exposed, lux

WITHIN = Profile(1000, 8.0, 110.0)


@pytest.mark.parametrize(
    ("taken", "luma", "wanted"),
    [
        (Exposure(500, 1.0), 110, Exposure(500, 1.0)),
        (Exposure(500, 1.0), 100, Exposure(500, 1.0)),  # close enough
        (Exposure(500, 1.0), 20, Exposure(1000, 1.0)),  # twice at most, by the shutter first
        (Exposure(1000, 1.0), 20, Exposure(1000, 2.0)),  # then by the gain
        (Exposure(1000, 8.0), 20, Exposure(1000, 8.0)),  # and no further
        (Exposure(1000, 4.0), 250, Exposure(1000, 2.0)),
        (Exposure(1000, 1.0), 250, Exposure(500, 1.0)),
        (Exposure(30, 1.0), 250, Exposure(30, 1.0)),
        (Exposure(20_000, 4.0), 110, Exposure(1000, 8.0)),  # what a camera begins with is brought within the limits
        (Exposure(1000, 1.0), 0, Exposure(1000, 2.0)),
    ],
)
def test_the_shutter_moves_first_and_nothing_leaves_its_limits(taken: Exposure, luma: float, wanted: Exposure) -> None:
    given = exposed(taken, luma, WITHIN)
    assert (given.shutter_us, given.gain) == pytest.approx((wanted.shutter_us, wanted.gain))


def test_light_is_told_from_a_picture_and_its_exposure() -> None:
    assert lux(120, Exposure(27_700, 1.0)) == pytest.approx(1000)
    assert lux(120, Exposure(1000, 8.0)) == pytest.approx(1000 * 27.7 / 8)
    assert lux(60, Exposure(1000, 8.0)) < lux(120, Exposure(1000, 8.0)) / 4


def test_dusk_has_two_thresholds_and_patience() -> None:
    dusk = Dusk(50, 200, 20)
    said = [
        dusk.look(light, at)
        for light, at in [
            (40, 0), (40, 19), (60, 19.5),  # a cloud
            (40, 20), (40, 39), (40, 40),  # dusk
            (100, 41), (190, 100),  # between the two
            (900, 101), (900, 110), (100, 111),  # a headlamp
            (900, 112), (900, 132),  # dawn
        ]
    ]  # fmt: skip
    assert said == [False] * 5 + [True] * 7 + [False]
