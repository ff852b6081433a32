"""Plates in a picture, as four corners: passes of a small convolutional network over a gray plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_anpr.datatypes import Box, Gray, PlateDetection
from edge_anpr.privacy.wipe import wipe
from edge_anpr.vision.session import Network
from edge_anpr.vision.views import WIDEST_FAR_PX, View, whole

# Cells that describe one plate overlap more than this; their mean, weighted by score², is the plate.
SAME_PLATE = 0.6
# What is left and overlaps a better plate this much is a part of it.
PART_OF_PLATE = 0.3
# What lies inside a wider plate by this much is a part of it (a sticker, a caption, half a near plate), unless the
# wider one is much less sure.
INSIDE, SURE_ENOUGH = 0.7, 0.6
MOST_CELLS = 400
AVERAGE_BELOW = 0.6
# A corner this far outside the picture, in plate widths, means that the border cuts the plate.
CUT = 0.03


class _Input:
    """A picture of one size as the network takes it, and where its cells lie: (cells, 2), in pixels of it."""

    def __init__(self, network: Network, rows: int, columns: int, pad: int, stride: int) -> None:
        self.array = np.full((1, 1, rows, columns), pad, np.uint8)
        self.fitted = (0, 0)
        self.look = network.bind(self.array)
        self.centres = centres(rows // stride, columns // stride, stride)


class Detector:
    """Finds plates in a frame; quads and boxes come back in pixels of the full picture.

    Input buffers are made once for pictures of one size; ``forget`` overwrites what the last one left. ``shares``: how
    much of the camera's picture frames show, across and down; the network's work shrinks with them.
    """

    def __init__(self, network: Network, threshold: float, shares: tuple[float, float] = (1.0, 1.0)) -> None:
        self._network, self._threshold, self._shares = network, threshold, shares
        self._stride = int(network.card.fields["stride"])
        self._pad = int(network.card.fields["input"]["pad"])
        self._inputs: dict[tuple[int, int], _Input] = {}
        self._whole: View | None = None
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
        found = self._look(lores, view)
        for part in parts:
            area = luma[part.top : part.top + part.height, part.left : part.left + part.width]
            found += [plate for plate in self._look(area, part) if _belongs(plate, part, width, height)]
        return [_placed(plate, width, height) for plate in _merge(found)]

    def forget(self) -> None:
        """Overwrite the inputs, and what the runtime may keep of the last passes by passes over an empty picture."""
        for held in self._inputs.values():
            wipe(held.array)
            held.fitted = (0, 0)
            held.look.run()

    def _look(self, area: Gray, view: View) -> list[_Plate]:
        held = self._input(view)
        self._fit(area, view, held)
        scores, boxes, quads = held.look.run()
        found = decode(scores[0, 0], boxes[0], quads[0], self._threshold, self._stride, held.centres)
        shift = np.array([view.left, view.top], np.float32)
        plates = []
        for place, corners, surety in found:
            box = place / view.scale
            box[:2] += shift
            plates.append(_Plate(box, (corners / view.scale + shift).astype(np.float32), surety, view.scale))
        return plates

    def _input(self, view: View) -> _Input:
        size = (view.rows, view.columns)
        if size not in self._inputs:
            self._inputs[size] = _Input(self._network, *size, self._pad, self._stride)
        return self._inputs[size]

    def _fit(self, area: Gray, view: View, held: _Input) -> None:
        size = min(round(view.height * view.scale), view.rows), min(round(view.width * view.scale), view.columns)
        if held.fitted != size:
            held.array.fill(self._pad)
            held.fitted = size
        place = held.array[0, 0, : size[0], : size[1]]
        # Averaging is for pictures that lose more than every other pixel; it costs six times as much as interpolating.
        method = cv2.INTER_LINEAR if size[1] > AVERAGE_BELOW * area.shape[1] else cv2.INTER_AREA
        cv2.resize(area, (size[1], size[0]), dst=place, interpolation=method)


@dataclass(frozen=True, slots=True)
class _Plate:
    """A plate in pixels of the full picture: box [left, top, width, height], quad (4, 2), score, scale of its view."""

    box: NDArray[np.float32]
    quad: NDArray[np.float32]
    score: float
    scale: float


def _belongs(plate: _Plate, view: View, width: int, height: int) -> bool:
    """Whether a part answers for this plate: narrow, and not cut by a border that the picture itself does not have."""
    left, top, wide, high = (float(value) for value in plate.box)
    if wide * view.scale > WIDEST_FAR_PX:
        return False
    edge = 2 / view.scale
    return not (
        (view.left > 0 and left < view.left + edge)
        or (view.top > 0 and top < view.top + edge)
        or (view.left + view.width < width and left + wide > view.left + view.width - edge)
        or (view.top + view.height < height and top + high > view.top + view.height - edge)
    )


def _merge(plates: list[_Plate]) -> list[_Plate]:
    """One plate for all that the views say of it: the surest, and none that lies inside a wider one."""
    if len(plates) < 2:
        return plates
    edges = np.array([plate.box for plate in plates], np.float32).reshape(-1, 4)
    edges[:, 2:] += edges[:, :2]
    areas = np.prod(edges[:, 2:] - edges[:, :2], axis=1)
    kept: list[int] = []
    for index in sorted(range(len(plates)), key=lambda index: -plates[index].score):
        around = (_shared(edges[index], edges) > INSIDE * areas[index]) & (areas > 1.5 * areas[index])
        if any(plates[other].score > SURE_ENOUGH * plates[index].score for other in np.flatnonzero(around)):
            continue
        if not kept or _overlaps(edges[index], edges[kept]).max() <= PART_OF_PLATE:
            kept.append(index)
    return [plates[index] for index in kept]


def _placed(plate: _Plate, width: int, height: int) -> PlateDetection:
    limit = CUT * float(plate.box[2])
    outside = (plate.quad < -limit).any() or (plate.quad > np.array([width, height]) + limit).any()
    return PlateDetection(Box(*(float(value) for value in plate.box)), plate.quad, plate.score, bool(outside))


def centres(rows: int, columns: int, stride: int) -> NDArray[np.float32]:
    """The middles of a network's cells, row by row, (cells, 2) as x and y in pixels of its input."""
    down, across = np.divmod(np.arange(rows * columns), columns)
    return (np.stack([across, down], axis=1).astype(np.float32) + np.float32(0.5)) * np.float32(stride)


def decode(
    score: NDArray[np.float32],
    box: NDArray[np.float32],
    quad: NDArray[np.float32],
    threshold: float,
    stride: int,
    middles: NDArray[np.float32],
) -> list[tuple[NDArray[np.float32], NDArray[np.float32], float]]:
    """Plates from the three heads: (box [left, top, width, height], quad (4, 2), score), best first, input pixels.

    ``score`` (H, W) is 0 to 1; ``box`` (4, H, W) holds log distances to the four sides in strides, ``quad`` (8, H, W)
    signed log offsets of the corners. ``middles``: the cells' ``centres``.
    """
    flat = score.ravel()
    cells = np.flatnonzero(flat >= threshold)
    if not len(cells):
        return []
    cells = cells[np.argsort(-flat[cells], kind="stable")[:MOST_CELLS]]
    weights = flat[cells]
    here = middles[cells]
    sides = stride * np.exp(np.minimum(box.reshape(4, -1)[:, cells].T, 6.0))
    edges = np.concatenate([here - sides[:, :2], here + sides[:, 2:]], axis=1)
    offsets = quad.reshape(8, -1)[:, cells].T.reshape(-1, 4, 2)
    corners = here[:, None] + stride * np.sign(offsets) * np.expm1(np.minimum(np.abs(offsets), 6.0))
    found: list[tuple[NDArray[np.float32], NDArray[np.float32], float]] = []
    kept = np.empty((0, 4), np.float32)
    squares, free = weights * weights, np.ones(len(weights), np.bool_)
    for index in range(len(weights)):
        if not free[index]:
            continue
        overlaps = _overlaps(edges[index], edges)
        members = free & (overlaps > SAME_PLATE)
        free &= overlaps <= PART_OF_PLATE
        if len(kept) and _overlaps(edges[index], kept).max() > PART_OF_PLATE:
            continue
        share = squares[members] / squares[members].sum()
        mean = share @ edges[members]
        kept = np.vstack([kept, mean])  # a copy
        corner = (share @ corners[members].reshape(-1, 8)).reshape(4, 2)
        mean[2:] -= mean[:2]
        found.append((mean, corner, float(weights[index])))
    return found


def _overlaps(one: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of one box with each of others, (left, top, right, bottom)."""
    shared = _shared(one, others)
    areas = (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1])
    overlaps: NDArray[np.float32] = shared / ((one[2] - one[0]) * (one[3] - one[1]) + areas - shared)
    return overlaps


def _shared(one: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """The area that one box has in common with each of others."""
    width = np.minimum(one[2], others[:, 2]) - np.maximum(one[0], others[:, 0])
    height = np.minimum(one[3], others[:, 3]) - np.maximum(one[1], others[:, 1])
    shared: NDArray[np.float32] = np.maximum(width, 0) * np.maximum(height, 0)
    return shared
