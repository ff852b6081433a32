"""Glyph masks for A–Z0–9: the `Face` the renderer draws with, and faces drawn from strokes, without fonts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.uint8]
Point = tuple[float, float, float]  # x, y in the skeleton box (y down), and how far its corner is rounded

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CAPS_PX = (72, 40, 20)  # a face is kept at three sizes, so that a small plate is drawn without aliasing


@dataclass(frozen=True, slots=True)
class Face:
    """One face: `masks[cap][char]`, the tight ink mask, cap px high, 0–255; `weight`: its share of plates."""

    name: str
    weight: float
    masks: dict[int, dict[str, Gray]]


def _p(*points: tuple[float, ...]) -> list[Point]:
    return [(p[0], p[1], p[2] if len(p) > 2 else 0.0) for p in points]


# Skeletons of a pressed plate die: (relative width, strokes); a stroke that ends where it began is closed.
# Where national dies differ (flat-topped 3, serifed I, closed 4) a second skeleton stands beside the first.
_ROUND = _p((0.5, 0), (1, 0, 1), (1, 1, 1), (0, 1, 1), (0, 0, 1), (0.5, 0))
_SKELETONS: dict[str, list[tuple[float, list[list[Point]]]]] = {
    "0": [(0.9, [_ROUND]), (1.0, [_ROUND])],
    "1": [
        (0.42, [_p((0, 0.26), (1, 0), (1, 1))]),
        (0.5, [_p((0, 0.2), (1, 0), (1, 1))]),
        (0.75, [_p((0, 0.25), (0.5, 0), (0.5, 1)), _p((0, 1), (1, 1))]),
    ],
    "2": [
        (1.0, [_p((0, 0.27), (0, 0, 1), (1, 0, 1), (1, 0.45, 0.8), (0, 1), (1, 1))]),
        (1.0, [_p((0, 0.24), (0, 0, 1), (1, 0, 1), (1, 0.52, 1), (0, 0.62, 0.9), (0, 1), (1, 1))]),
    ],
    "3": [
        (1.0, [_p((0, 0), (1, 0), (0.42, 0.4), (1, 0.4, 1), (1, 1, 1), (0, 1, 1), (0, 0.77))]),
        (
            1.0,
            [
                _p((0, 0.22), (0, 0, 1), (0.95, 0, 1), (0.95, 0.47, 1), (0.4, 0.47)),
                _p((0.4, 0.47), (1, 0.47, 1), (1, 1, 1), (0, 1, 1), (0, 0.78)),
            ],
        ),
    ],
    "4": [
        (1.05, [_p((1, 0.75), (0, 0.75), (0.5, 0)), _p((0.72, 0.42), (0.72, 1))]),
        (1.0, [_p((0.76, 1), (0.76, 0), (0, 0.72), (1, 0.72))]),
    ],
    "5": [(1.0, [_p((0.95, 0), (0.06, 0), (0.02, 0.42), (1, 0.38, 1), (1, 1, 1), (0, 1, 1), (0, 0.78))])],
    "6": [
        (
            1.0,
            [
                _p((0.5, 0.42), (1, 0.42, 1), (1, 1, 1), (0, 1, 1), (0, 0.42, 1), (0.5, 0.42)),
                _p((0, 0.72), (0, 0.45, 0.9), (0.62, 0)),
            ],
        ),
        (
            1.0,
            [
                _p((0.5, 0.42), (1, 0.42, 1), (1, 1, 1), (0, 1, 1), (0, 0, 1), (1, 0, 1), (1, 0.2)),
                _p((0, 0.42), (0.5, 0.42)),
            ],
        ),
    ],
    "7": [(1.0, [_p((0, 0), (1, 0), (0.35, 1))]), (0.95, [_p((0, 0), (1, 0), (1, 0.2, 0.5), (0.4, 1))])],
    "8": [
        (
            1.0,
            [
                _p((0.5, 0), (0.94, 0, 1), (0.94, 0.46, 1), (0.06, 0.46, 1), (0.06, 0, 1), (0.5, 0)),
                _p((0.5, 0.46), (1, 0.46, 1), (1, 1, 1), (0, 1, 1), (0, 0.46, 1), (0.5, 0.46)),
            ],
        )
    ],
    "A": [
        (1.15, [_p((0, 1), (0.5, 0), (1, 1)), _p((0.2, 0.7), (0.8, 0.7))]),
        (1.1, [_p((0, 1), (0.42, 0), (0.58, 0), (1, 1)), _p((0.17, 0.68), (0.83, 0.68))]),
    ],
    "B": [
        (
            1.0,
            [
                _p((0, 0), (0.92, 0, 1), (0.92, 0.47, 1), (0, 0.47)),
                _p((0, 0.47), (1, 0.47, 1), (1, 1, 1), (0, 1)),
                _p((0, 0), (0, 1)),
            ],
        )
    ],
    "C": [(1.0, [_p((1, 0.27), (1, 0, 1), (0, 0, 1), (0, 1, 1), (1, 1, 1), (1, 0.73))])],
    "D": [(1.0, [_p((0, 0.5), (0, 0), (1, 0, 1), (1, 1, 1), (0, 1), (0, 0.5))])],
    "E": [(0.9, [_p((1, 0), (0, 0), (0, 1), (1, 1)), _p((0, 0.48), (0.85, 0.48))])],
    "F": [(0.88, [_p((1, 0), (0, 0), (0, 1)), _p((0, 0.5), (0.82, 0.5))])],
    "G": [
        (1.05, [_p((1, 0.25), (1, 0, 1), (0, 0, 1), (0, 1, 1), (1, 1, 1), (1, 0.54), (0.55, 0.54))]),
        (1.05, [_p((0.95, 0.2), (0.95, 0, 1), (0, 0, 1), (0, 1, 1), (1, 1), (1, 0.5), (0.5, 0.5))]),
    ],
    "H": [(1.0, [_p((0, 0), (0, 1)), _p((1, 0), (1, 1)), _p((0, 0.48), (1, 0.48))])],
    "I": [
        (0.0, [_p((0.5, 0), (0.5, 1))]),
        (0.45, [_p((0.5, 0), (0.5, 1)), _p((0, 0), (1, 0)), _p((0, 1), (1, 1))]),
    ],
    "J": [
        (0.8, [_p((1, 0), (1, 1, 1), (0, 1, 1), (0, 0.72))]),
        (0.85, [_p((0.3, 0), (1, 0), (1, 1, 1), (0, 1, 1), (0, 0.75))]),
    ],
    "K": [(1.05, [_p((0, 0), (0, 1)), _p((1, 0), (0, 0.64)), _p((0.34, 0.43), (1, 1))])],
    "L": [(0.85, [_p((0, 0), (0, 1), (1, 1))])],
    "M": [
        (1.25, [_p((0, 1), (0, 0), (0.5, 0.6), (1, 0), (1, 1))]),
        (1.15, [_p((0, 1), (0, 0), (0.5, 0.45), (1, 0), (1, 1))]),
    ],
    "N": [(1.05, [_p((0, 1), (0, 0), (1, 1), (1, 0))])],
    "O": [(1.0, [_ROUND]), (1.12, [_ROUND])],
    "P": [(0.98, [_p((0, 1), (0, 0), (1, 0, 1), (1, 0.53, 1), (0, 0.53))])],
    "Q": [(1.05, [_ROUND, _p((0.58, 0.72), (1.02, 1.02))])],
    "R": [(1.0, [_p((0, 1), (0, 0), (1, 0, 1), (1, 0.53, 1), (0, 0.53)), _p((0.5, 0.53), (1, 1))])],
    "S": [
        (
            1.0,
            [
                _p(
                    (1, 0.24),
                    (1, 0, 1),
                    (0, 0, 1),
                    (0, 0.48, 1),
                    (1, 0.48, 1),
                    (1, 1, 1),
                    (0, 1, 1),
                    (0, 0.76),
                )
            ],
        )
    ],
    "T": [(1.0, [_p((0, 0), (1, 0)), _p((0.5, 0), (0.5, 1))])],
    "U": [(1.0, [_p((0, 0), (0, 1, 1), (1, 1, 1), (1, 0))])],
    "V": [(1.1, [_p((0, 0), (0.5, 1), (1, 0))]), (1.05, [_p((0, 0), (0.43, 1), (0.57, 1), (1, 0))])],
    "W": [
        (1.35, [_p((0, 0), (0.25, 1), (0.5, 0.3), (0.75, 1), (1, 0))]),
        (1.3, [_p((0, 0), (0.22, 1), (0.5, 0.05), (0.78, 1), (1, 0))]),
    ],
    "X": [(1.1, [_p((0, 0), (1, 1)), _p((1, 0), (0, 1))])],
    "Y": [(1.1, [_p((0, 0), (0.5, 0.54), (1, 0)), _p((0.5, 0.54), (0.5, 1))])],
    "Z": [(1.0, [_p((0, 0), (1, 0), (0, 1), (1, 1))])],
}
_SKELETONS["9"] = [
    (width, [[(1 - x, 1 - y, k) for x, y, k in stroke] for stroke in strokes]) for width, strokes in _SKELETONS["6"]
]


def _outline(
    stroke: list[Point], size: npt.NDArray[np.float64], corner: float, reach: float
) -> npt.NDArray[np.float64]:
    """Turn a stroke into pixel points: corners rounded by `corner` (0–1), ends pushed out by `reach` px."""
    points = np.array([(x, y) for x, y, _ in stroke]) * size
    closed = stroke[0][:2] == stroke[-1][:2]
    path = [points[0]]
    for i in range(1, len(points) - 1):
        before, here, after = points[i - 1], points[i], points[i + 1]
        a, b = before - here, after - here
        la, lb = float(np.hypot(*a)), float(np.hypot(*b))
        radius = stroke[i][2] * corner * min(la, lb, float(size.min()))
        if radius < 1:
            path.append(here)
            continue
        start, end = here + a / la * min(radius, la * 0.98), here + b / lb * min(radius, lb * 0.98)
        t = np.linspace(0, 1, 7)[:, None]
        path.extend((1 - t) ** 2 * start + 2 * t * (1 - t) * (here * 0.85 + (start + end) * 0.075) + t**2 * end)
    path.append(points[-1])
    if not closed:
        for end, inner in ((0, 1), (-1, -2)):
            x, y, _ = stroke[end]
            if y in (0.0, 1.0) or (x in (0.0, 1.0) and y == stroke[inner][1]):
                way = path[end] - path[inner]
                path[end] = path[end] + way / max(1e-6, float(np.hypot(*way))) * reach
    return np.array(path)


def draw_face(rng: np.random.Generator, name: str = "drawn") -> Face:
    """Draw one look-alike die from strokes; stroke width, corners, proportions and slits by chance."""
    cap, scale = CAPS_PX[0], 2
    high = cap * scale
    stroke_px = float(rng.uniform(0.115, 0.195)) * high
    wide = float(rng.uniform(0.42, 0.66)) * high
    corner = float(rng.uniform(0.18, 0.6))
    mono, slit = rng.random() < 0.3, rng.random() < 0.35
    slant = float(rng.uniform(-0.02, 0.02))
    chosen: dict[str, Gray] = {}
    for char, variants in _SKELETONS.items():
        # an FE-like die makes every glyph its own way; a drawn standard keeps to one
        width, strokes = variants[int(rng.integers(len(variants)))]
        width = 1.0 if mono and width > 0.6 else width
        ink_w = int(max(stroke_px, width * wide * float(rng.uniform(0.95, 1.05)) + 0.02 * high))
        size = np.array([max(0.0, ink_w - stroke_px), high - stroke_px])
        canvas = np.zeros((high, ink_w), np.uint8)
        for stroke in strokes:
            path = _outline(stroke, size, corner, stroke_px) + stroke_px / 2
            path[:, 0] += (high / 2 - path[:, 1]) * slant
            fixed = np.round(path * 16).astype(np.int32)
            cv2.polylines(canvas, [fixed], False, 255, max(1, round(stroke_px)), cv2.LINE_AA, 4)
        if slit and char in "0PRDB":
            # the Dutch and the German die slit some bowls, so that no letter can be made into another
            x, y = (
                int(ink_w * rng.uniform(0.5, 0.75)),
                int(high * (0.53 if char in "PR" else rng.choice([0.0, 0.96]))),
            )
            half = max(1, int(high * 0.025))
            cv2.line(canvas, (x, max(0, y - int(stroke_px))), (x + half, y + int(stroke_px)), 0, half * 2)
        chosen[char] = canvas
    return Face(name, 1.0, shrink(chosen))


def shrink(masks: dict[str, Gray]) -> dict[int, dict[str, Gray]]:
    """Bring masks of any one height to the renderer's cap heights; widths follow."""
    out: dict[int, dict[str, Gray]] = {}
    for cap in CAPS_PX:
        out[cap] = {}
        for char, mask in masks.items():
            width = max(2, round(mask.shape[1] * cap / mask.shape[0]))
            out[cap][char] = np.asarray(cv2.resize(mask, (width, cap), interpolation=cv2.INTER_AREA), np.uint8)
    return out


@lru_cache(maxsize=2)
def drawn_faces(count: int = 60, seed: int = 7) -> tuple[Face, ...]:
    """Return `count` drawn faces, the same ones for the same seed."""
    rng = np.random.default_rng(seed)
    return tuple(draw_face(rng, f"drawn-{i}") for i in range(count))
