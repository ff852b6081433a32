"""Laying rendered plates, and things that are no plates, into a gray scene."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from edge_anpr.plates.text import LONGEST

Gray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]
Masks = dict[str, Gray]
#: What a rendered plate's white is; and how many more plates are light on dark than the layouts have, and how many are
#: half as high as wide: on the world's roads old and foreign ones are.
WHITE, INVERTED_SHARE, AMERICAN_SHARE = 235, 0.08, 0.25
#: How many plates do not stand upright in their picture: a camera held askew, a road that falls, a bend that is leant
#: into. With a quarter, and small angles the likeliest, photos turned by 16 degrees were read less than before.
ROLLED_SHARE = 0.5


class Flat(Protocol):
    """What the renderer returns: the plate seen straight on, gray uint8 [h,w]."""

    @property
    def gray(self) -> Gray:
        """The picture."""


class Renderer(Protocol):
    """Anything that draws a new random plate at each call."""

    def flat(self, *, american: bool) -> Flat:
        """Draw one, of American proportions or of others."""


class PlatePool:
    """A few hundred rendered plates, renewed a few at a time: drawing costs more than warping."""

    def __init__(self, renderer: Renderer, rng: np.random.Generator, size: int = 400, width: int = 560) -> None:
        self._renderer, self._rng, self._width = renderer, rng, width
        self._plates = [self._draw() for _ in range(size)]
        self._next = 0

    def _draw(self) -> Gray:
        gray = np.asarray(self._renderer.flat(american=self._rng.random() < AMERICAN_SHARE).gray, np.uint8)
        if self._rng.random() < INVERTED_SHARE:
            gray = np.asarray(WHITE - np.minimum(gray, WHITE), np.uint8)
        factor = self._width / gray.shape[1]
        if factor < 1.0:
            size = (self._width, max(8, round(gray.shape[0] * factor)))
            gray = np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.uint8)
        return gray

    def renew(self, count: int) -> None:
        """Replace the `count` oldest plates."""
        for _ in range(count):
            self._plates[self._next] = self._draw()
            self._next = (self._next + 1) % len(self._plates)

    def pick(self, aspect: float | None = None) -> Gray | None:
        """Return a plate, of about this width/height if given; None when no such plate is at hand."""
        for _ in range(12):
            plate = self._plates[int(self._rng.integers(len(self._plates)))]
            if aspect is None or 0.74 < plate.shape[1] / plate.shape[0] / aspect < 1.35:
                return plate
        return None


def seen_quad(
    rng: np.random.Generator,
    centre: tuple[float, float],
    width: float,
    aspect: float,
    tilt: float,
    turn: float,
) -> FloatArray:
    """Corners [4,2] of a plate seen by a camera: its box is about `width` px wide around `centre`.

    A plate hangs upright, and so do most cameras. So one that is turned away below the camera runs downhill while its
    sides stay upright: it is sheared, not turned as a whole. `turn` is the largest yaw in degrees, two thirds of it
    how steeply a camera looks down at most; `tilt` the largest roll, of those that do not stand upright. Corners run
    clockwise from top left.
    """
    yaw, down = np.deg2rad(turn * rng.uniform(-1, 1)), np.deg2rad(turn * rng.uniform(-0.1, 0.65))
    roll = np.deg2rad(tilt * rng.uniform(-1, 1) if rng.random() < ROLLED_SHARE else rng.normal(0, tilt / 12))
    # Right, down and away from the camera, in half plate widths; the plate need not be in the middle of its picture.
    way = np.array([0.5 * rng.triangular(-1, 0, 1), 0.3 * rng.triangular(-1, 0, 1), 1.0])
    way *= float(np.exp(rng.uniform(np.log(5), np.log(60))))
    plumb = np.array([0.0, np.cos(down), np.sin(down)])
    ahead = way - plumb * (way @ plumb)
    ahead /= np.linalg.norm(ahead)
    along = np.cross(plumb, ahead) * np.cos(yaw) + ahead * np.sin(yaw)
    flat = np.array([[-1, -1 / aspect], [1, -1 / aspect], [1, 1 / aspect], [-1, 1 / aspect]])
    places = way + flat[:, :1] * along + flat[:, 1:] * plumb
    seen = places[:, :2] / places[:, 2:]
    turn_by = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    seen = seen @ turn_by.T
    seen -= (seen.max(0) + seen.min(0)) / 2
    return np.asarray(seen * (width / np.ptp(seen[:, 0])) + np.array(centre), np.float32)


def apart(box: FloatArray, others: FloatArray, margin: float = 0.0) -> bool:
    """Whether a box x1 y1 x2 y2 keeps farther than so many pixels from all others [n,4]."""
    clear = (others[:, 0] > box[2] + margin) | (others[:, 2] < box[0] - margin)
    clear |= (others[:, 1] > box[3] + margin) | (others[:, 3] < box[1] - margin)
    return bool(clear.all())


def homography(shape: tuple[int, ...], quad: FloatArray) -> FloatArray:
    """Matrix for cv2.warpPerspective that lays a picture of `shape` with its outer rim on `quad`.

    Labels count from pixel edges, OpenCV from pixel centres: hence the halves.
    """
    height, width = shape[:2]
    rim = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32) - 0.5
    matrix = cv2.getPerspectiveTransform(rim, np.asarray(quad, np.float32) - 0.5)
    return np.asarray(matrix, np.float32)


def lay(image: Gray, flat: Gray, quad: FloatArray, alpha: Gray | None = None, blur: float = 0.0) -> None:
    """Warp `flat` onto `quad` of `image`, in place, with soft edges; `alpha` (0..255) makes it a stencil."""
    low = np.maximum(np.floor(quad.min(0)).astype(int) - 3, 0)
    high = np.minimum(np.ceil(quad.max(0)).astype(int) + 3, [image.shape[1], image.shape[0]])
    if (high - low).min() < 2:
        return
    wide = float(np.linalg.norm(quad[1] - quad[0]) + np.linalg.norm(quad[2] - quad[3])) / 2
    more = 2 if wide < 180 else 1  # small plates are drawn at twice their size: bilinear sampling would alias
    factor = wide * more * 1.15 / flat.shape[1]
    if factor < 1.0:
        size = (max(4, round(flat.shape[1] * factor)), max(3, round(flat.shape[0] * factor)))
        flat = np.asarray(cv2.resize(flat, size, interpolation=cv2.INTER_AREA), np.uint8)
        if alpha is not None:
            alpha = np.asarray(cv2.resize(alpha, size, interpolation=cv2.INTER_AREA), np.uint8)
    if alpha is None:
        alpha = np.full(flat.shape, 255, np.uint8)
    size = tuple(int(v) for v in (high - low) * more)  # type: ignore[assignment]
    matrix = homography(flat.shape, (quad - low) * more)
    picture = cv2.warpPerspective(flat, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpPerspective(alpha, matrix, size, flags=cv2.INTER_LINEAR)
    if more == 2:
        half = tuple(int(v) for v in (high - low))
        picture = cv2.resize(picture, half, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask, half, interpolation=cv2.INTER_AREA)
    if blur > 0.25:
        picture, mask = cv2.GaussianBlur(picture, (0, 0), blur), cv2.GaussianBlur(mask, (0, 0), blur)
    region = image[low[1] : high[1], low[0] : high[0]]
    share = mask.astype(np.float32) / 255
    region[:] = np.clip(region + (picture.astype(np.float32) - region) * share + 0.5, 0, 255).astype(np.uint8)


def lit(rng: np.random.Generator, flat: Gray, dark: float, bright: float) -> Gray:
    """Map a plate's grays to [dark, bright] of its place, under uneven light, at times half in shadow."""
    height, width = flat.shape
    light = np.ones((height, width), np.float32)
    if rng.random() < 0.6:
        across = np.linspace(-1, 1, width, dtype=np.float32) * rng.normal(0, 0.12)
        down = np.linspace(-1, 1, height, dtype=np.float32) * rng.normal(0, 0.12)
        light += across[None] + down[:, None]
    if rng.random() < 0.15:
        edge, slope = rng.uniform(0, 1), rng.normal(0, 0.6)
        along = np.linspace(0, 1, width, dtype=np.float32)[None]
        level = np.linspace(0, 1, height, dtype=np.float32)[:, None]
        side = (level > edge + slope * (along - 0.5)) if rng.random() < 0.7 else (along > edge + slope * (level - 0.5))
        light *= np.where(side, np.float32(rng.uniform(0.35, 0.8)), np.float32(1))
    values = dark + (bright - dark) * (flat.astype(np.float32) / WHITE)
    return np.clip(values * light, 0, 255).astype(np.uint8)


def holder(
    rng: np.random.Generator, faces: list[Masks], quad: FloatArray, level: float, ink: float
) -> tuple[Gray, FloatArray]:
    """Draw the frame that holds a plate at `quad`: its picture uint8 [h,w], and its own corners [4,2].

    Often it carries a dealer's line in `ink` below the plate or above it. None of it belongs to the plate.
    """
    thin = np.exp(rng.uniform(np.log(0.015), np.log(0.12), 3))  # of the plate's height, left and right alike
    foot, head = float(thin[1]), float(thin[2])
    lettered = rng.random() < 0.6
    if lettered:
        foot = float(rng.uniform(0.12, 0.3))
    if lettered and rng.random() < 0.15:
        foot, head = head, foot
    wide = float(np.linalg.norm(quad[1] - quad[0]) + np.linalg.norm(quad[2] - quad[3]))
    high = float(np.linalg.norm(quad[3] - quad[0]) + np.linalg.norm(quad[2] - quad[1]))
    side = float(thin[0]) * high / max(wide, 1.0)
    unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    rim = np.array([[-side, -head], [1 + side, -head], [1 + side, 1 + foot], [-side, 1 + foot]], np.float32)
    way = cv2.getPerspectiveTransform(unit, np.asarray(quad, np.float32))
    corners = np.asarray(cv2.perspectiveTransform(rim[None], way)[0], np.float32)
    scale = 96.0
    picture = np.full((round((1 + head + foot) * scale), round((wide / high + 2 * side) * scale)), level, np.float32)
    strip = round(max(foot, head) * scale)
    if lettered and strip > 10:
        masks = faces[int(rng.integers(len(faces)))]
        line = _line(masks, _words(rng), int(rng.integers(2, 10)))
        tall = max(6, round(strip * float(rng.uniform(0.45, 0.8))))
        across = min(picture.shape[1] - 4, round(line.shape[1] * tall / line.shape[0] * float(rng.uniform(0.8, 1.6))))
        line = np.asarray(cv2.resize(line, (across, tall), interpolation=cv2.INTER_AREA), np.uint8)
        top = (strip - tall) // 2 if head > foot else picture.shape[0] - strip + (strip - tall) // 2
        left = int(rng.uniform(0.2, 0.8) * (picture.shape[1] - across))
        spot = picture[top : top + tall, left : left + across]
        spot += (line.astype(np.float32) / 255) * (ink - level)
    return np.clip(picture, 0, 255).astype(np.uint8), corners


def erase(image: Gray, box: FloatArray) -> None:
    """Cover a box x1 y1 x2 y2 of `image` by what is around it, in place: the real plate must not look out."""
    low = np.maximum(np.floor(box[:2]).astype(int) - 2, 0)
    high = np.minimum(np.ceil(box[2:]).astype(int) + 2, [image.shape[1], image.shape[0]])
    if (high - low).min() < 2:
        return
    above, below = (
        image[max(low[1] - 1, 0), low[0] : high[0]],
        image[min(high[1], image.shape[0] - 1), low[0] : high[0]],
    )
    ramp = np.linspace(0, 1, high[1] - low[1], dtype=np.float32)[:, None]
    fill = above[None] * (1 - ramp) + below[None] * ramp
    fill = cv2.blur(fill.astype(np.float32), (max(3, (high[0] - low[0]) // 4), 3))
    image[low[1] : high[1], low[0] : high[0]] = fill.astype(np.uint8)


_LETTERS, _DIGITS = "ABCDEFGHIJKLMNOPRSTUVWXYZAEIOURSTLNE", "0123456789"


def _words(rng: np.random.Generator) -> str:
    """A line that fleets, shops and road signs carry: words, a phone number, a house number."""
    kind = rng.random()
    if kind < 0.3:
        groups = rng.integers(2, 5, size=int(rng.integers(3, 5)))
        return " ".join("".join(rng.choice(list(_DIGITS), n)) for n in groups)
    if kind < 0.4:
        return "".join(rng.choice(list(_DIGITS), int(rng.integers(1, 4))))
    lengths = rng.integers(3, 11, size=int(rng.integers(1, 4)))
    return " ".join("".join(rng.choice(list(_LETTERS), n)) for n in lengths)


def _line(masks: Masks, text: str, gap: int) -> Gray:
    """One line of ink, 0..255, from glyph masks of one height."""
    height = max(mask.shape[0] for mask in masks.values())
    parts: list[Gray] = []
    for char in text:
        glyph = masks.get(char)
        parts.append(np.zeros((height, height // 2), np.uint8) if glyph is None else glyph)
        parts.append(np.zeros((height, gap), np.uint8))
    return np.hstack(parts)


def lettering(rng: np.random.Generator, bare: bool) -> list[str]:
    """Lines that are no plate's. Bare ones may say anything.

    A panel has three or more, or one that is longer than any plate: one or two short ones would be a plate.
    """
    texts = [_words(rng) for _ in range(int(rng.integers(1, 5)))]
    if bare or len(texts) > 2 or max(len(text.replace(" ", "")) for text in texts) > LONGEST:
        return texts
    return [_words(rng) for _ in range(3)]


def clutter(rng: np.random.Generator, faces: list[Masks]) -> tuple[Gray, Gray]:
    """Draw lettering, bare or on a panel, that a plate detector must leave alone: (gray, alpha), both uint8 [h,w]."""
    masks = faces[int(rng.integers(len(faces)))]
    cap = max(mask.shape[0] for mask in masks.values())
    bare = bool(rng.random() < 0.5)
    gap = int(cap * rng.uniform(0.08, 0.3))
    lines = [_line(masks, text, gap) for text in lettering(rng, bare)]
    lead = int(cap * rng.uniform(0.3, 1.0))
    margin = 2 if bare else int(cap * rng.uniform(0.5, 2.5))
    width = max(line.shape[1] for line in lines) + 2 * margin
    height = len(lines) * (cap + lead) + 2 * margin
    ink = np.zeros((height, width), np.uint8)
    for row, line in enumerate(lines):
        left = margin + (0 if rng.random() < 0.5 else (width - 2 * margin - line.shape[1]) // 2)
        top = margin + row * (cap + lead)
        ink[top : top + line.shape[0], left : left + line.shape[1]] = line
    ground, letter = (235.0, 20.0) if rng.random() < 0.6 else (30.0, 235.0)
    gray = (ground + (letter - ground) * (ink.astype(np.float32) / 255)).astype(np.uint8)
    if bare:
        return np.full_like(ink, int(letter)), ink
    if rng.random() < 0.5:
        cv2.rectangle(gray, (2, 2), (width - 3, height - 3), int(letter), max(2, cap // 10))
    return gray, np.full_like(ink, 255)
