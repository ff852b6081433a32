"""What road, weather, optics and camera do to a plate picture, as small functions on float32 arrays of 0–255.

All take the picture (H×W or H×W×3) and a generator, and return a new array. Sizes are in pixels of the
picture they are given, which stands for the sensor: degrade at the size the plate has in the frame, then
scale.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]


@lru_cache(maxsize=1)
def _noise_pool() -> F32:
    # drawing normals is the dearest step of a crop; windows into one big draw do as well
    return np.random.default_rng(11).standard_normal((600, 1400), np.float32)


@lru_cache(maxsize=1)
def _cloud_pool() -> F32:
    rng = np.random.default_rng(12)
    out = np.zeros((512, 1024), np.float32)
    for cells, share in ((8, 0.45), (24, 0.3), (80, 0.25)):
        small = rng.random((cells, cells * 2), np.float32)
        out += share * cv2.resize(small, (1024, 512), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip((out - out.mean()) / out.std() * 0.22 + 0.5, 0, 1), np.float32)


def _window(pool: F32, h: int, w: int, rng: np.random.Generator) -> F32:
    h, w = min(h, pool.shape[0]), min(w, pool.shape[1])
    y = int(rng.random() * (pool.shape[0] - h + 1))
    x = int(rng.random() * (pool.shape[1] - w + 1))
    return pool[y : y + h, x : x + w]


def _over(field: F32, img: F32) -> F32:
    return field if img.ndim == 2 else field[..., None]


def dirt(img: F32, rng: np.random.Generator, strength: float) -> F32:
    """Lay a cloudy film of one grey over the picture, up to `strength` opaque (0–1)."""
    h, w = img.shape[:2]
    cloud = _window(_cloud_pool(), min(512, h * 2), min(1024, w * 2), rng)
    cloud = np.asarray(cv2.resize(cloud, (w, h), interpolation=cv2.INTER_LINEAR), np.float32)
    level = float(rng.random()) * 0.5 + 0.3
    alpha = np.clip((cloud - level) * 4, 0, 1) * strength
    return np.asarray(img + _over(alpha, img) * (float(rng.uniform(40, 170)) - img), np.float32)


def gradient(img: F32, rng: np.random.Generator, strength: float) -> F32:
    """Multiply by a plane that varies by ±`strength` over the picture."""
    h, w = img.shape[:2]
    a, b = rng.uniform(-strength, strength, 2)
    x = np.linspace(-a, a, w, dtype=np.float32)
    y = np.linspace(-b, b, h, dtype=np.float32)
    return np.asarray(img * _over(1 + x[None] + y[:, None], img), np.float32)


def shadow(img: F32, rng: np.random.Generator, strength: float) -> F32:
    """Darken one side of a straight, more or less soft edge by `strength` (0–1)."""
    h, w = img.shape[:2]
    angle = float(rng.uniform(0, 2 * np.pi))
    dx, dy = np.cos(angle), np.sin(angle)
    reach = abs(dx) * w + abs(dy) * h
    soft = float(rng.uniform(0.5, 0.1 * reach + 1))
    field = (
        dx * np.arange(w, dtype=np.float32)[None]
        + dy * np.arange(h, dtype=np.float32)[:, None]
        - (dx * w + dy * h) / 2
        - float(rng.uniform(-0.35, 0.35)) * reach
    ) / soft
    lit = 1 - strength * np.clip(field + 0.5, 0, 1)
    return np.asarray(img * _over(lit.astype(np.float32), img), np.float32)


def glare(img: F32, rng: np.random.Generator, strength: float) -> F32:
    """Add a soft bright spot of up to `strength` grey levels."""
    h, w = img.shape[:2]
    cx, cy = rng.uniform(-0.1, 1.1, 2)
    sx, sy = float(rng.uniform(0.1, 0.4)) * w, float(rng.uniform(0.2, 0.8)) * h
    gx = np.exp(-(((np.arange(w, dtype=np.float32) - cx * w) / sx) ** 2))
    gy = np.exp(-(((np.arange(h, dtype=np.float32) - cy * h) / sy) ** 2))
    return np.asarray(img + _over(strength * gy[:, None] * gx[None], img), np.float32)


def exposure(img: F32, rng: np.random.Generator) -> F32:
    """Apply gain, offset and gamma as a camera's day, night and overexposed pictures have them."""
    kind = float(rng.random())
    if kind < 0.2:  # night, or a plate in deep shade
        gain, offset = float(rng.uniform(0.18, 0.5)), float(rng.uniform(0, 40))
    elif kind < 0.3:  # retroreflective plate under its own light: the ground clips
        gain, offset = float(rng.uniform(1.1, 1.5)), float(rng.uniform(0, 20))
    elif kind < 0.42:  # haze: little contrast on a bright veil
        gain, offset = float(rng.uniform(0.3, 0.6)), float(rng.uniform(40, 120))
    else:
        gain, offset = float(rng.uniform(0.6, 1.1)), float(rng.uniform(-15, 25))
    out = np.clip(img * gain + offset, 0, 255)
    if rng.random() < 0.4:
        out = 255 * (out * (1 / 255)) ** float(rng.uniform(0.6, 1.7))
    return np.asarray(out, np.float32)


def bloom(img: F32, rng: np.random.Generator, cap_px: float) -> F32:
    """Overexpose a reflecting plate under infrared or headlights: the ground clips and shines into the letters."""
    bright = img * float(rng.uniform(1.3, 2.6)) - float(rng.uniform(0, 60))
    soft = cv2.GaussianBlur(bright, (0, 0), max(0.4, cap_px * float(rng.uniform(0.02, 0.07))))
    return np.asarray(np.clip(np.maximum(bright * 0.4 + soft * 0.6, 0), 0, 255), np.float32)


def snow(img: F32, rng: np.random.Generator, cap_px: float) -> F32:
    """Lay snow or mud along the lower or the upper edge, up to a fifth of the characters high."""
    h, w = img.shape[:2]
    edge = np.cumsum(rng.normal(0, 0.35, w)).astype(np.float32)
    edge = np.clip(edge - edge.mean() + (h - cap_px) / 2 + cap_px * float(rng.uniform(-0.1, 0.2)), 0, None)
    y = np.arange(h, dtype=np.float32)[:, None]
    depth = h - 1 - y if rng.random() < 0.65 else y
    cover = np.clip(edge[None] - depth, 0, 1)
    level = float(rng.uniform(160, 250) if rng.random() < 0.6 else rng.uniform(40, 110))
    return np.asarray(img + _over(cover, img) * (level - img), np.float32)


def tow_bar(img: F32, rng: np.random.Generator, cap_px: float) -> F32:
    """Put the head of a tow bar before the lower edge; it hides a third of a character's height at most."""
    h, w = img.shape[:2]
    out = np.array(img, order="C")
    x = int(w * float(rng.uniform(0.35, 0.65)))
    radius = max(1, round(cap_px * float(rng.uniform(0.12, 0.26))))
    y = int((h + cap_px) / 2 - cap_px * float(rng.uniform(0.0, 0.2)) + radius)
    level = float(rng.uniform(5, 90))
    cv2.circle(out, (x, y), radius, (level,) * 3, -1, cv2.LINE_AA)
    cv2.line(out, (x, y), (x, h), (level,) * 3, max(1, radius))
    return out


def bend(img: F32, rng: np.random.Generator, cap_px: float) -> F32:
    """Bend the plate about an upright axis, as bumpers do to thin ones: rows of pixels become arcs."""
    h, w = img.shape[:2]
    x = np.linspace(-1, 1, w, dtype=np.float32)
    rise = float(rng.normal(0, 0.12)) * cap_px * (x**2 if rng.random() < 0.7 else np.sin(3 * x))
    columns = np.broadcast_to(np.arange(w, dtype=np.float32), (h, w))
    rows = np.arange(h, dtype=np.float32)[:, None] + rise[None].astype(np.float32)
    return np.asarray(cv2.remap(img, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def rain(img: F32, rng: np.random.Generator, cap_px: float) -> F32:
    """Hang drops on the lens or the plate: small discs in which the picture is out of focus and lighter or darker."""
    h, w = img.shape[:2]
    mask = np.zeros((h, w), np.float32)
    for _ in range(int(rng.integers(2, 9))):
        spot = (int(rng.integers(w)), int(rng.integers(h)))
        size = max(1, round(cap_px * float(rng.uniform(0.05, 0.3))))
        cv2.ellipse(mask, spot, (size, round(size * float(rng.uniform(1, 1.8)))), 0, 0, 360, 1.0, -1, cv2.LINE_AA)
    soft = cv2.GaussianBlur(img, (0, 0), max(0.5, cap_px * 0.09)) + float(rng.normal(0, 25))
    return np.asarray(img + _over(mask * float(rng.uniform(0.4, 0.9)), img) * (soft - img), np.float32)


def lens(rng: np.random.Generator) -> float:
    """Blur of what stands in focus, sigma in sensor pixels: from a pixel's own area (0.29) to a soft lens (0.46)."""
    return float(rng.uniform(0.27, 0.46))


def defocus(img: F32, sigma: float) -> F32:
    """Blur by a Gaussian of `sigma` pixels."""
    return img if sigma < 0.25 else np.asarray(cv2.GaussianBlur(img, (0, 0), sigma), np.float32)


def motion(img: F32, rng: np.random.Generator, length: float) -> F32:
    """Smear over `length` pixels, mostly along the road (near-horizontal), sometimes any way."""
    size = int(np.ceil(length)) | 1
    if size < 3:
        return img
    angle = float(rng.normal(0, 0.25)) if rng.random() < 0.7 else float(rng.uniform(0, np.pi))
    kernel = np.zeros((size, size), np.float32)
    c, r = size // 2, length / 2
    ends = np.array([[c - r * np.cos(angle), c - r * np.sin(angle)], [c + r * np.cos(angle), c + r * np.sin(angle)]])
    fixed = np.round(ends * 16).astype(int)
    cv2.line(kernel, tuple(fixed[0].tolist()), tuple(fixed[1].tolist()), 1.0, 1, cv2.LINE_8, 4)
    return np.asarray(
        cv2.filter2D(img, -1, kernel / max(kernel.sum(), 1e-6), borderType=cv2.BORDER_REPLICATE), np.float32
    )


def interlace(img: F32, rng: np.random.Generator, cap_px: float) -> F32:
    """Show every other line as it was a field earlier or later, up to two fifths of the characters' height away."""
    shift = cap_px * float(rng.uniform(0.04, 0.4)) * float(rng.choice([-1, 1]))
    out = np.array(img, order="C")
    way = np.array([[1, 0, shift], [0, 1, 0]], np.float32)
    moved = cv2.warpAffine(img, way, (img.shape[1], img.shape[0]), borderMode=cv2.BORDER_REPLICATE)
    first = int(rng.integers(2))
    out[first::2] = moved[first::2]
    return out


def halo(img: F32, rng: np.random.Generator, amount: float) -> F32:
    """Sharpen as cameras do: overshoot of `amount` along edges."""
    soft = np.asarray(cv2.GaussianBlur(img, (0, 0), float(rng.uniform(0.7, 1.8))), np.float32)
    return img + np.float32(amount) * (img - soft)


def noise(img: F32, rng: np.random.Generator, sigma: float) -> F32:
    """Add sensor noise of `sigma` grey levels; some of it coarse, as after a camera's own noise filter."""
    h, w = img.shape[:2]
    if rng.random() < 0.3:
        fine = _window(_noise_pool(), (h + 1) // 2, (w + 1) // 2, rng)
        grain = np.asarray(cv2.resize(fine, (w, h), interpolation=cv2.INTER_LINEAR), np.float32)
    else:
        grain = _window(_noise_pool(), h, w, rng)
        if grain.shape != (h, w):
            grain = np.asarray(cv2.resize(grain, (w, h), interpolation=cv2.INTER_NEAREST), np.float32)
    return np.asarray(img + _over(grain * np.float32(sigma), img), np.float32)


def jpeg(img: U8, quality: int) -> U8:
    """Encode and decode as JPEG of `quality` (1–100)."""
    ok, data = cv2.imencode(".jpg", img, (cv2.IMWRITE_JPEG_QUALITY, quality))
    flag = cv2.IMREAD_GRAYSCALE if img.ndim == 2 else cv2.IMREAD_COLOR
    return np.asarray(cv2.imdecode(data, flag), np.uint8) if ok else img


def degrade(img: U8, rng: np.random.Generator, cap_px: float, quality: tuple[int, int] = (15, 95)) -> U8:
    """Take a clean picture through the whole chain.

    `img`: uint8 H×W or H×W×3. `cap_px`: height of the characters in it, which bounds blur so that what a
    person could still read stays readable. `quality`: range of JPEG qualities.

    Returns:
        uint8 of the same shape.
    """
    out = img.astype(np.float32)
    pick = rng.random(9)
    if pick[0] < 0.25:
        out = dirt(out, rng, float(rng.uniform(0.1, 0.65)))
    if pick[1] < 0.4:
        out = gradient(out, rng, 0.35)
    if pick[2] < 0.18:
        out = shadow(out, rng, float(rng.uniform(0.2, 0.65)))
    if pick[3] < 0.1:
        out = glare(out, rng, float(rng.uniform(30, 150)))
    weather = float(rng.random())
    for limit, effect in ((0.03, snow), (0.055, tow_bar), (0.115, bend), (0.145, rain)):
        if weather < limit:
            out = effect(out, rng, cap_px)
            break
    out = bloom(out, rng, cap_px) if rng.random() < 0.05 else exposure(out, rng)
    room = cap_px / 16  # a stroke is about cap/7 wide: blur of a third of it and more costs characters
    # A far plate is smeared as seldom as it is small: what moves one pixel near moves a fraction of one there.
    if pick[4] < 0.2 * min(1.0, 1.4 * room):
        out = motion(out, rng, float(rng.uniform(1.2, 1.3 + 4.0 * room)))
    sigma = float(rng.uniform(0.2, 0.35 + 0.4 * min(1.0, room)))
    if pick[5] < 0.35 * min(1.0, 1.4 * room):
        sigma += float(rng.uniform(0, 1.1)) * room
    out = defocus(out, sigma)
    if rng.random() < 0.03:
        out = interlace(out, rng, cap_px)
    if pick[6] < 0.85:
        # bounded by what contrast is left: a crop that nobody can read teaches guessing
        most = 16 * min(1.0, 0.4 + 0.8 * room)
        out = noise(out, rng, min(float(rng.random()) ** 2 * most, 0.45 * float(out.std())))
    if pick[7] < 0.35:
        out = halo(out, rng, float(rng.uniform(0.3, 1.6)))
    final = np.clip(out, 0, 255).astype(np.uint8)
    if pick[8] < 0.45:
        final = jpeg(final, int(rng.integers(quality[0], quality[1] + 1)))
    return final


def far(img: U8, rng: np.random.Generator) -> U8:
    """Take a clean small picture through a good camera by day: a little blur, noise, contrast, JPEG; uint8 H×W."""
    out = img.astype(np.float32) * float(rng.uniform(0.5, 1.1)) + float(rng.uniform(-10, 30))
    out = defocus(out, float(rng.uniform(0.05, 0.55)))
    out = noise(out, rng, min(float(rng.uniform(0, 4)), 0.15 * float(out.std())))
    if rng.random() < 0.25:
        out = halo(out, rng, float(rng.uniform(0.3, 1.2)))
    final = np.clip(out, 0, 255).astype(np.uint8)
    return jpeg(final, int(rng.integers(60, 96))) if rng.random() < 0.25 else final
