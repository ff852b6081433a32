"""Paints the demo clip's pictures: cars cut out of photos, plates set in their place, shadows, lamps, lens and sensor.

Pictures are float32 H×W×3 in BGR, `SS` times the clip's size until the sensor; ways are 3×3 from photo to clip pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from demo_scenery import Car, Road

Image = npt.NDArray[np.float32]
Photo = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float64]

WIDTH, HEIGHT = 640, 480
SS = 2  # drawn at twice the size and averaged down: edges move by fractions of a pixel, as in a real camera
HOLDER: tuple[float, float, float] = (26, 24, 24)


# -- cutting out ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CutOut:
    """A car without its plate: `bgra` float32 H×W×4 with colour times alpha; where it stands; how its plate is lit.

    `ground`: y of the tyres, `middle`: x of the plate, both in the photo; `light`: gain of B, G, R.
    """

    bgra: Image
    ground: float
    middle: float
    light: npt.NDArray[np.float32]


def cut_out(picture: Photo, car: Car, tint: tuple[float, float, float], hue: int) -> CutOut:
    """Cut the car out along its outline, wipe plate and stickers, and paint it."""
    light = plate_light(picture, car)
    wiped = np.zeros(picture.shape[:2], np.uint8)
    plate = np.array(car.plate)
    cv2.fillConvexPoly(wiped, np.round(plate + np.sign(plate - plate.mean(0)) * 3).astype(np.int32), 255)
    clean = cv2.inpaint(picture, wiped, 5, cv2.INPAINT_TELEA)
    # lettering of a few pixels: nothing is left of it at this width, while the sticker stays on the pane
    blurred = cv2.GaussianBlur(clean, (0, 0), 7)
    for x0, y0, x1, y1 in car.hidden:
        clean[y0:y1, x0:x1] = blurred[y0:y1, x0:x1]
    alpha = car_mask(picture, car.polygon)
    painted = repaint(np.asarray(clean, np.uint8), tint, hue)
    ground = float(car.polygon[:, 1].max())
    bgra = np.dstack((painted * alpha[..., None], alpha)).astype(np.float32)
    return CutOut(bgra, ground, float(plate[:, 0].mean()), light)


def car_mask(picture: Photo, polygon: npt.NDArray[np.int32]) -> Image:
    """Return the car's coverage, 0 to 1: the outline, moved to the nearest edge in a band of a few pixels."""
    inside = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(inside, [polygon], 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    core, reach = cv2.erode(inside, disc), cv2.dilate(inside, disc)
    mask = np.where(reach == 0, cv2.GC_BGD, np.where(core == 1, cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    mask[(reach == 1) & (inside == 0)] = cv2.GC_PR_BGD
    cv2.setRNGSeed(1)
    cv2.grabCut(picture, mask, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    found = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    # half the vote is the outline's: where car and background look alike, the colour alone frays
    vote = cv2.GaussianBlur(found.astype(np.float32) + inside, (0, 0), 2.5)
    solid = cv2.erode((vote > 1.0).astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.asarray(cv2.GaussianBlur(solid.astype(np.float32), (0, 0), 0.9), np.float32)


def repaint(picture: Photo, tint: tuple[float, float, float], hue: int) -> Image:
    """Tint the car; only paint of a green hue is turned, so that lamps keep their colours."""
    if hue:
        hsv = cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)
        green = (hsv[..., 0] > 60) & (hsv[..., 0] < 100)
        hsv[..., 0] = np.where(green, (hsv[..., 0].astype(int) + hue) % 180, hsv[..., 0])
        picture = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), np.uint8)
    return np.asarray(picture.astype(np.float32) * np.array(tint, np.float32), np.float32)


def plate_light(picture: Photo, car: Car) -> npt.NDArray[np.float32]:
    """Return the gain of B, G, R that the light at the plate's place gives to a white plate."""
    plate = np.array(car.plate)
    (x0, y0), (x1, y1) = plate.min(0).astype(int), plate.max(0).astype(int) + 1
    region = picture[y0:y1, x0:x1].reshape(-1, 3).astype(np.float32)
    value = region.max(axis=1)
    bright = region[value >= np.percentile(value, 70)].mean(0)
    # a yellow or red ground says how bright the light is, but not its colour
    coloured = float(bright.max() - bright.min()) > 60
    level = np.full(3, bright.max(), np.float32) if coloured else bright
    return np.asarray(np.clip(level / 238, 0.6, 1.03), np.float32)


# -- the view ---------------------------------------------------------------------------------------------------------


def road_view(photo: Photo, road: Road, light: str) -> Image:
    """Return the empty road as the camera sees it, float32 at `SS` times the picture's size."""
    size = (WIDTH * SS, HEIGHT * SS)
    corners = np.array(((0, 0), (size[0], 0), size, (0, size[1])), np.float32)
    way = cv2.getPerspectiveTransform(np.array(road.view, np.float32), corners)
    view = cv2.warpPerspective(photo, way, size, flags=cv2.INTER_CUBIC).astype(np.float32)
    # the stretched photo has lost its grain; asphalt without grain looks like a backdrop
    grain = np.random.default_rng(5).normal(0, 1, (size[1], size[0], 1)).astype(np.float32)
    coarse = cv2.GaussianBlur(grain, (0, 0), 1.6)[..., None] * 5.0
    view = view * (1 + 0.035 * coarse)
    return dusk(view, 0.72) if light == "dusk" else np.asarray(view, np.float32)


def dusk(picture: Image, gain: float) -> Image:
    """Darken and cool a daylight picture: shadows sink faster than lights."""
    curve = 255 * (np.clip(picture, 0, 255) / 255) ** 1.25
    return np.asarray(curve * gain * np.array((1.08, 0.95, 0.86), np.float32), np.float32)


def project(way: Matrix, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Map N×2 points."""
    moved = cv2.perspectiveTransform(np.array(points, np.float64).reshape(-1, 1, 2), way)
    return np.asarray(moved.reshape(-1, 2), np.float64)


def plate_quad(car: Car, aspect: float) -> npt.NDArray[np.float64]:
    """Return where the new plate sits in the photo: as wide as the old holder allows, in its middle."""
    tl, tr, br, bl = np.array(car.plate)
    wide, high = float(np.linalg.norm(tr - tl)), float(np.linalg.norm(bl - tl))
    w, h = min(0.97, 0.95 * high * aspect / wide), min(0.95, 0.97 * wide / aspect / high)
    left, top = (1 - w) / 2, (1 - h) / 2
    u = np.array((left, 1 - left, 1 - left, left))[:, None]
    v = np.array((top, top, 1 - top, 1 - top))[:, None]
    return np.asarray((tl + u * (tr - tl)) * (1 - v) + (bl + u * (br - bl)) * v, np.float64)


def over(canvas: Image, layer: Image) -> None:
    """Lay a layer whose colour is already times its alpha (H×W×4) over the canvas, in place."""
    canvas *= 1 - layer[..., 3:]
    canvas += layer[..., :3]


def draw_shadow(canvas: Image, car: Car, way: Matrix, scale: float, light: str) -> None:
    """Darken the road under the car, in place."""
    x, y = car.polygon[:, 0].astype(float), car.polygon[:, 1].astype(float)
    left, right, ground = x.min(), x.max(), y.max()
    cover = np.zeros(canvas.shape[:2], np.float32)
    inset = 0.05 * (right - left)
    for grow, reach, weight in ((0.0, 6, 0.75), (0.03, 22, 0.35)):
        span = grow * (right - left)
        spot = [
            (left + inset - span, ground - 60),
            (right - inset + span, ground - 60),
            (right - inset + span, ground + reach),
            (left + inset - span, ground + reach),
        ]
        layer = np.zeros_like(cover)
        cv2.fillConvexPoly(layer, np.round(project(way, spot) * SS).astype(np.int32), weight)
        cover = np.maximum(cover, cv2.GaussianBlur(layer, (0, 0), (4 + reach * 0.5) * scale * SS))
    canvas *= 1 - cover[..., None] * (1.0 if light == "day" else 0.85)


def draw_lamps(canvas: Image, car: Car, way: Matrix, scale: float) -> None:
    """Add the glow of two lamps and their light on the wet road, in place."""
    small = 4  # glows are smooth: a quarter of the size is enough
    rows, columns = np.mgrid[0 : HEIGHT * SS : small, 0 : WIDTH * SS : small].astype(np.float32) / SS
    glow = np.zeros((*rows.shape, 3), np.float32)
    warm = np.array((205, 235, 255) if car.front else (28, 22, 255), np.float32) / 255
    core, halo, wet, radius, whiteness = (330, 60, 46, 9, 1.0) if car.front else (150, 95, 40, 15, 0.25)
    ground = project(way, [(car.lamps[0][0], car.polygon[:, 1].max())])[0, 1]
    for x, y in project(way, car.lamps):
        d2 = (columns - x) ** 2 + (rows - y) ** 2
        glow += (core * np.exp(-d2 / (2 * (radius * scale) ** 2)))[..., None] * (0.4 * warm + 0.6 * whiteness)
        glow += (halo * np.exp(-np.sqrt(d2) / (24 * scale)))[..., None] * warm
        below = np.clip(rows - ground, 0, None)
        streak = np.exp(-((columns - x) ** 2) / (2 * (26 * scale) ** 2)) * np.exp(-below / (110 * scale))
        glow += (wet * streak * (rows > ground))[..., None] * warm
    canvas += cv2.resize(glow, (WIDTH * SS, HEIGHT * SS), interpolation=cv2.INTER_LINEAR)


def draw_plate(canvas: Image, flat: Image, car: Car, way: Matrix) -> npt.NDArray[np.float64]:
    """Set the plate on its holder, in place; return its corners in the picture, 4×2."""
    size = (WIDTH * SS, HEIGHT * SS)
    holder = np.zeros((*canvas.shape[:2], 1), np.float32)
    cv2.fillConvexPoly(holder, np.round(project(way, car.plate) * SS * 16).astype(np.int32), 1.0, cv2.LINE_AA, 4)
    holder = cv2.GaussianBlur(holder, (0, 0), 0.7)[..., None]
    canvas *= 1 - holder
    canvas += holder * (np.array(HOLDER, np.float32) * float(flat.mean()) / 150)
    quad = project(way, plate_quad(car, flat.shape[1] / flat.shape[0]))
    wide = max(8, round(float(np.linalg.norm(quad[1] - quad[0])) * SS))
    high = max(4, round(float(np.linalg.norm(quad[3] - quad[0])) * SS))
    sized = cv2.resize(flat, (wide, high), interpolation=cv2.INTER_AREA)
    layer = np.dstack((sized, np.ones((high, wide), np.float32)))
    corners = np.array(((0, 0), (wide, 0), (wide, high), (0, high)), np.float32) - 0.5
    onto = cv2.getPerspectiveTransform(corners, (quad * SS - 0.5).astype(np.float32))
    over(canvas, np.asarray(cv2.warpPerspective(layer, onto, size, flags=cv2.INTER_LINEAR), np.float32))
    return quad


def smear(canvas: Image, length: float) -> Image:
    """Blur vertically over `length` px: the way during the exposure, 1/400 s by day and 1/200 s at dusk."""
    taps = np.clip(length / 2 + 0.5 - np.abs(np.arange(-15, 16)), 0, 1)
    return np.asarray(cv2.sepFilter2D(canvas, -1, np.ones(1), taps / taps.sum()) if length > 1 else canvas, np.float32)


def sense(canvas: Image, light: str, rng: np.random.Generator) -> Photo:
    """Look through lens and sensor: average down to the picture's size, soften, add noise, clip."""
    small = cv2.resize(canvas, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), 0.45)
    # OpenCV sets no bitrate: noise is what the file's size depends on, so dusk has less of it than a real sensor
    sigma = 1.0 if light == "day" else 1.8
    noise = rng.normal(0, sigma, (HEIGHT, WIDTH, 1)) + rng.normal(0, sigma * 0.4, (HEIGHT, WIDTH, 3))
    return np.asarray(np.clip(small + noise, 0, 255).round(), np.uint8)
