"""Plates in a picture, as four corners: passes of a small convolutional network over a gray plane."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_anpr.datatypes import Box, Gray, PlateDetection
from edge_anpr.privacy.wipe import wipe
from edge_anpr.vision.session import Network
from edge_anpr.vision.views import WIDEST_FAR_PX, View, whole

# Cells that describe one plate overlap more than this; their mean, weighted by score², is the plate. So much of the
# threshold is enough to be heard: of a plate that is 25 px wide few cells are sure.
SAME_PLATE, HEARD = 0.6, 1 / 3
# What is left and overlaps a better plate this much is a part of it.
PART_OF_PLATE = 0.3
# What lies inside a wider plate by this much is a part of it (a sticker, a caption, half a near plate), unless the
# wider one, of so much more area, is much less sure.
INSIDE, WIDER, SURE_ENOUGH = 0.7, 1.5, 0.6
# A view that shows a plate so wide, and does not find it, says something of it.
FOUND_FROM_PX = 32.0
# What overlaps so much is the same plate in another view.
SAME_IN_ALL = 0.5
# A score is a single-precision number and may be 1, whose odds have no logarithm.
MOST_SURE = 0.9999
# Of so many pixels a row, the darkest hundredth and the brightest twentieth are left out: lamps. Where what is left
# spans fewer grays, as at dusk or in fog, it is stretched to these, by a factor that noise alone does not make larger.
# What is brighter shares the rest, for a far plate may be twice as bright as all else, and must not burn out. Stretched
# where they are 70, the blotches of a drawn empty road are found as plates.
SAMPLES, DARKEST, LAMPS, FEW_GRAYS, LEAST_GRAYS, DARK, HALF = 40, 0.01, 0.05, 50, 12, 10, 120
MOST_CELLS = 400
AVERAGE_BELOW = 0.6
# 8·e^4.9 is 1074 pixels, wider than any input.
MOST_LOG = 4.9
# What a cell's logs say: left and top lie before its middle, right and bottom behind it; corners have their own sign.
_OUTWARDS = np.array([-1, -1] + [1] * 10, np.float32)[:, None]
# A corner this far outside the picture, in plate widths, means that the border cuts the plate.
CUT = 0.03


class _Input:
    """A picture of one size as the network takes it, and the network's cells in pixels of the view."""

    def __init__(self, network: Network, view: View, pad: int, stride: int) -> None:
        self.array = np.full((1, 1, view.rows, view.columns), pad, np.uint8)
        self.fitted = (0, 0)
        self.look = network.bind(self.array)
        self.grid = Grid(view.rows // stride, view.columns // stride, stride / view.scale)


class Detector:
    """Finds plates in a frame; quads and boxes come back in pixels of the full picture.

    Input buffers are made once for pictures of one size; ``forget`` overwrites what the last one left. ``shares``: how
    much of the camera's picture frames show, across and down; the network's work shrinks with them.
    """

    def __init__(self, network: Network, threshold: float, shares: tuple[float, float] = (1.0, 1.0)) -> None:
        self._network, self._threshold, self._shares = network, threshold, shares
        self._stride = int(network.card.fields["stride"])
        self._pad = int(network.card.fields["input"]["pad"])
        self._inputs: dict[tuple[int, int, float], _Input] = {}
        self._whole: View | None = None
        self._levels: Gray | None = None
        self.whole_view(network.card.width, network.card.height)  # so that ``forget`` has a pass to make

    def of_whole_pictures(self) -> Detector:
        """Another one on the same network, without ``shares``."""
        return Detector(self._network, self._threshold)

    def whole_view(self, width: int, height: int) -> View:
        """The view of a whole picture of this size."""
        if self._whole is None or (self._whole.width, self._whole.height) != (width, height):
            # Pictures of another size have parts of another size: inputs are kept for those of one.
            wipe(*(held.array for held in self._inputs.values()))
            self._inputs.clear()
            card = self._network.card
            self._whole = whole(width, height, card.width, card.height, self._shares)
            self._input(self._whole)
        return self._whole

    def find(self, lores: Gray, luma: Gray, parts: Sequence[View] = ()) -> list[PlateDetection]:
        """Plates in a frame, best first: ``lores`` shows the whole of it, of ``luma`` the ``parts`` are looked at."""
        height, width = luma.shape
        view = self.whole_view(width, height)
        self._levels = _stretched(lores)
        found = self._look(lores, view)
        if not parts:
            return [_placed(plate, width, height) for plate in _merge(found)]
        looks = [(view, found)]
        for part in parts:
            area = luma[part.top : part.top + part.height, part.left : part.left + part.width]
            looks.append(
                (part, [plate for plate in self._look(area, part) if _belongs(plate.box, part, width, height)])
            )
        merged = _merge([plate for _, plates in looks for plate in plates])
        agreed = [replace(plate, score=self._agreed(plate, looks, width, height)) for plate in merged]
        return sorted((_placed(plate, width, height) for plate in agreed), key=lambda plate: -plate.score)

    def forget(self) -> None:
        """Overwrite the inputs, and what the runtime may keep of the last passes by passes over an empty picture."""
        for held in self._inputs.values():
            wipe(held.array)
            held.fitted = (0, 0)
            held.look.run()

    def _look(self, area: Gray, view: View) -> list[_Plate]:
        held = self._input(view)
        self._fit(area, view, held)
        (heads,) = held.look.run()
        found = decode(heads[0], self._threshold, held.grid)
        if view.left or view.top:
            shift = np.array([view.left, view.top], np.float32)
            found = [
                (Box(box.left + view.left, box.top + view.top, box.width, box.height), quad + shift, score)
                for box, quad, score in found
            ]
        return [_Plate(box, quad, score, view.scale) for box, quad, score in found]

    def _agreed(self, plate: _Plate, looks: list[tuple[View, list[_Plate]]], width: int, height: int) -> float:
        """How sure all views are of a plate: the surest, and as much as it the mean of all, in logarithms of odds.

        Lettering and lamps look like a plate in one size more often than in two.
        """
        box = plate.box
        told: list[float] = []
        for view, plates in looks:
            # Most plates lie elsewhere, and are not worth an overlap.
            near = (other for other in plates if abs(other.box.left - box.left) < box.width)
            found = max((other.score for other in near if other.box.overlap(box) > SAME_IN_ALL), default=0.0)
            if found:
                told.append(min(found, MOST_SURE))
            elif box.width * view.scale >= FOUND_FROM_PX and _belongs(box, view, width, height):
                told.append(self._threshold / 2)
        logits = [math.log(score / (1 - score)) for score in told]
        return 1 / (1 + math.exp(-(max(logits) + sum(logits) / len(logits)) / 2))

    def _input(self, view: View) -> _Input:
        kind = view.rows, view.columns, view.scale
        if kind not in self._inputs:
            self._inputs[kind] = _Input(self._network, view, self._pad, self._stride)
        return self._inputs[kind]

    def _fit(self, area: Gray, view: View, held: _Input) -> None:
        size = (
            min(max(round(view.height * view.scale), 1), view.rows),
            min(max(round(view.width * view.scale), 1), view.columns),
        )
        if held.fitted != size:
            held.array.fill(self._pad)
            held.fitted = size
        place = held.array[0, 0, : size[0], : size[1]]
        # Averaging is for pictures that lose more than every other pixel; it costs six times as much as interpolating.
        method = cv2.INTER_LINEAR if size[1] > AVERAGE_BELOW * area.shape[1] else cv2.INTER_AREA
        cv2.resize(area, (size[1], size[0]), dst=place, interpolation=method)
        if self._levels is not None:
            cv2.LUT(place, self._levels, dst=place)


def _stretched(lores: Gray) -> Gray | None:
    """What each gray of a picture becomes that has few of them, of dusk or in fog; None for all others."""
    step = max(lores.shape[1] // SAMPLES, 1)
    some = lores[::step, ::step]
    first, last = int(DARKEST * some.size), some.size - 1 - int(LAMPS * some.size)
    ordered = np.partition(some, (first, last), axis=None)
    darkest, brightest = int(ordered[first]), int(ordered[last])
    if brightest - darkest >= FEW_GRAYS:
        return None
    brightest = max(brightest, darkest + LEAST_GRAYS)
    levels = np.interp(np.arange(256), (darkest, brightest, max(brightest + 1, 255)), (DARK, HALF, 255))
    return levels.astype(np.uint8)


@dataclass(frozen=True, slots=True)
class _Plate:
    """A plate in pixels of the full picture: box, quad (4, 2), score, scale of its view."""

    box: Box
    quad: NDArray[np.float32]
    score: float
    scale: float


def _belongs(box: Box, view: View, width: int, height: int) -> bool:
    """Whether a view answers for a plate: a part for narrow ones that no border but the picture's own cuts."""
    if view.is_whole:
        return True
    if box.width * view.scale > WIDEST_FAR_PX:
        return False
    edge = 2 / view.scale
    return not (
        (view.left > 0 and box.left < view.left + edge)
        or (view.top > 0 and box.top < view.top + edge)
        or (view.left + view.width < width and box.left + box.width > view.left + view.width - edge)
        or (view.top + view.height < height and box.top + box.height > view.top + view.height - edge)
    )


def _merge(plates: list[_Plate]) -> list[_Plate]:
    """One plate for all that the views say of it: the surest, and none that lies inside a wider one."""
    if len(plates) < 2:
        return plates
    kept: list[_Plate] = []
    for plate in sorted(plates, key=lambda plate: -plate.score):
        if not any(_is_inside(plate, other) for other in plates) and not _touches(plate.box, (it.box for it in kept)):
            kept.append(plate)
    return kept


def _is_inside(plate: _Plate, other: _Plate) -> bool:
    area = plate.box.area
    return (
        other.box.area > WIDER * area
        and other.score > SURE_ENOUGH * plate.score
        and plate.box.shared(other.box) > INSIDE * area
    )


def _touches(box: Box, others: Iterable[Box]) -> bool:
    """Whether it is a part of one of them."""
    return any(box.overlap(other) > PART_OF_PLATE for other in others)


def _placed(plate: _Plate, width: int, height: int) -> PlateDetection:
    limit = CUT * plate.box.width
    outside = any(not (-limit <= x <= width + limit and -limit <= y <= height + limit) for x, y in plate.quad.tolist())
    return PlateDetection(plate.box, plate.quad, plate.score, outside)


class Grid:
    """A network's cells, ``stride`` pixels apart, and what they tell in those pixels.

    ``ways`` (12, 1) is what their numbers are times, ``middles`` (2, cells) where they lie: x, then y, row by row.
    """

    def __init__(self, rows: int, columns: int, stride: float) -> None:
        down, across = np.divmod(np.arange(rows * columns), columns)
        self.middles = (np.stack([across, down]).astype(np.float32) + np.float32(0.5)) * np.float32(stride)
        self.ways = _OUTWARDS * np.float32(stride)


def decode(heads: NDArray[np.float32], threshold: float, grid: Grid) -> list[tuple[Box, NDArray[np.float32], float]]:
    """Plates from the network's output: (box, quad (4, 2), score), best first, in pixels.

    ``heads`` (13, H, W): the logit of the score; the logs of the distances to the four sides, in strides; and the
    signed logs of the ways to the four corners, x and y.
    """
    # After a pass each call of another function costs a microsecond or two: few calls, whatever they work on.
    flat = heads.reshape(13, -1)
    heard = threshold * HEARD
    cells = (flat[0] >= math.log(heard / (1 - heard))).nonzero()[0]
    if not len(cells):
        return []
    if len(cells) > MOST_CELLS:
        cells = cells[np.argsort(-flat[0, cells], kind="stable")[:MOST_CELLS]]
    told = flat.take(cells, axis=1)
    left = 1 / (1 + np.exp(-told[0]))
    logs = told[1:]
    logs.clip(-MOST_LOG, MOST_LOG, out=logs)
    ways = np.copysign(np.expm1(np.abs(logs)), logs)
    np.exp(logs[:4], out=ways[:4])
    ways *= grid.ways
    # Rows: left, top, right, bottom; and x and y of four corners.
    places = (ways.reshape(6, 2, -1) + grid.middles.take(cells, axis=1)).reshape(12, -1)
    found: list[tuple[Box, NDArray[np.float32], float]] = []
    while (surest := float(left[(index := int(left.argmax()))])) >= threshold:
        overlaps = _overlaps(places[:2], places[2:4], index)
        share = left * left
        share *= overlaps > SAME_PLATE
        mean = np.add.reduce(places * share, axis=1)
        mean /= np.add.reduce(share)
        left *= overlaps <= PART_OF_PLATE
        x1, y1, x2, y2 = mean[:4].tolist()
        plate = Box(x1, y1, x2 - x1, y2 - y1)
        if not _touches(plate, (other for other, _, _ in found)):
            found.append((plate, mean[4:].reshape(4, 2), surest))
    return found


def _overlaps(first: NDArray[np.float32], last: NDArray[np.float32], index: int) -> NDArray[np.float32]:
    """Intersection over union of one box with each: left and top (2, n), right and bottom (2, n)."""
    sides = last - first
    areas = sides[0] * sides[1]
    np.minimum(last, last[:, index : index + 1], out=sides)
    sides -= np.maximum(first, first[:, index : index + 1])
    np.maximum(sides, 0, out=sides)
    shared = sides[0] * sides[1]
    overlaps: NDArray[np.float32] = shared / (areas[index] + areas - shared)
    return overlaps
