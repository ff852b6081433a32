"""Shutter and gain for plates that move, and whether it is day or night: numbers in, numbers out.

A camera's own automatic exposure lengthens the shutter when it gets dark: at 50 km/h a plate moves 28 cm in 1/50 s,
half its width, and 14 mm in 1/1000 s, about a stroke. libcamera has no ceiling for the shutter short of a tuning file
for each sensor. So the unit chooses shutter and gain by itself, the shutter first, and tells the camera fixed values.
"""

from __future__ import annotations

from dataclasses import dataclass

# Video is written with about this exponent: twice the light is 1.37 times the value.
GAMMA = 2.2
SHORTEST_US = 30
# Nearer to the target than this the exposure stays; further off it doubles or halves at most, for a lamp that passes.
CLOSE_ENOUGH, LARGEST_STEP = 0.12, 2.0
# What a Raspberry Pi camera shows at 1,000 lux with this shutter and a gain of 1, about (the reference of its tunings).
_REFERENCE_LUX, _REFERENCE_LUMA, _REFERENCE_US = 1000.0, 120.0, 27_700.0


@dataclass(frozen=True, slots=True)
class Profile:
    """How far exposure may go: the longest shutter, the highest gain, and the mean luminance aimed at (0 to 255)."""

    shutter_us: int
    gain: float
    target: float


@dataclass(frozen=True, slots=True)
class Exposure:
    """What a picture was taken with."""

    shutter_us: float
    gain: float


def exposed(taken: Exposure, luma: float, within: Profile) -> Exposure:
    """The exposure for pictures to come, from one of mean luminance ``luma`` and what it was taken with.

    As a picture says itself what it was taken with, it does not matter how late a change takes effect.
    """
    total = taken.shutter_us * taken.gain
    if abs(luma - within.target) > CLOSE_ENOUGH * within.target:
        step = (within.target / max(luma, 1.0)) ** GAMMA
        total *= min(max(step, 1 / LARGEST_STEP), LARGEST_STEP)
    shutter = min(max(total, SHORTEST_US), within.shutter_us)
    return Exposure(shutter, min(max(total / shutter, 1.0), within.gain))


def lux(luma: float, taken: Exposure) -> float:
    """The light on the scene, to within a factor of two or so, for a camera that does not say it by itself."""
    linear: float = (max(luma, 1.0) / _REFERENCE_LUMA) ** GAMMA
    return float(_REFERENCE_LUX * linear * _REFERENCE_US / max(taken.shutter_us * taken.gain, 1.0))


class Dusk:
    """Whether it is night: less light than ``night_below_lux`` makes it so, more than ``day_above_lux`` ends it.

    Either has to last ``hold_s``: headlamps and clouds pass.
    """

    def __init__(self, night_below_lux: float, day_above_lux: float, hold_s: float) -> None:
        self._below, self._above, self._hold_s = night_below_lux, day_above_lux, hold_s
        self._since_s: float | None = None
        self.is_night = False

    def look(self, light_lux: float, now_s: float) -> bool:
        """Take one measurement; whether it is night. ``now_s`` is monotonic."""
        wants_other = light_lux > self._above if self.is_night else light_lux < self._below
        if not wants_other:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now_s
        elif now_s - self._since_s >= self._hold_s:
            self.is_night, self._since_s = not self.is_night, None
        return self.is_night
