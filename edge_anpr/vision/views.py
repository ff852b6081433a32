"""Which parts of a picture the detector looks at, and how large: the whole road, and the far road in quarters.

One pass over the whole picture at 640 px finds plates from 32 px of those to the width of the picture. On a 1080p road
a plate 60 px wide is 20 px there. So the same network also sees the picture twice as large, in four parts that overlap
by more than the plates which are left to it are wide. A live unit looks at one part a frame, which doubles the
detector's work instead of making it five times as much, and a passage needs only some frames; recordings and still
pictures, which do not wait for anybody, are looked at whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge_anpr.datatypes import Gray, Track

# A part is looked at larger only where the camera has at least this much more detail than the first pass shows.
WORTH_IT = 1.3
MAGNIFIED = 2.0
# Of still pictures parts are looked at so much larger than the first pass, too, up to so many pixels for one of theirs.
DEEP, ENLARGED = 4.0, 1.7
# And that is worth it where it shows so much more than the parts before.
DEEPER = 1.2
# Parts overlap by this many pixels of the network, and plates wider than the limit are the whole view's affair.
OVERLAP_PX = 96
WIDEST_FAR_PX = 240.0
_CELL = 32
# A small picture is enlarged no further: a blurred plate as wide as the network's input is like nothing on a road. Of
# 306 plates of the training photos, cut out 1.25 to 1.5 times as wide as they are, 266 are told so, 259 without.
MOST_ENLARGED = 2.0


@dataclass(frozen=True, slots=True)
class View:
    """A part of the full picture: where it lies in it, and the width and height the network sees it in, in pixels.

    ``scale``: network pixels to one of the full picture.
    """

    left: int
    top: int
    width: int
    height: int
    scale: float
    columns: int
    rows: int
    is_whole: bool = False


def whole(width: int, height: int, columns: int, rows: int, shares: tuple[float, float] = (1.0, 1.0)) -> View:
    """The whole picture of ``width`` × ``height`` pixels in an input of at most ``columns`` × ``rows``.

    ``shares``: how much of the camera's picture it is, across and down. A part is not seen larger for being a part.
    """
    scale = min(columns * shares[0] / width, rows * shares[1] / height, MOST_ENLARGED)
    return View(0, 0, width, height, scale, _cells(width * scale), _cells(height * scale), is_whole=True)


def parts(first: View, *, deep: bool = False) -> list[View]:
    """The parts of the picture that are looked at larger than in ``first``; none where there is no more to see.

    ``deep``, for stills: down to the picture's own pixels, and beyond them, for an enlarged small plate is found more
    often (of drawn ones 20 to 40 px wide 116 of 125, where 1.3 times their size gave 100).
    """
    near, deeper = min(first.scale * MAGNIFIED, WORTH_IT), min(first.scale * DEEP, ENLARGED)
    found = _cut(first, near) if deep or first.scale * WORTH_IT <= 1 else []
    if deep and deeper > DEEPER * near:
        found += _cut(first, deeper)
    return found


def _cut(first: View, scale: float) -> list[View]:
    across = _spans(first.width, scale, first.columns)
    down = _spans(first.height, scale, first.rows)
    return [
        View(left, top, width, height, scale, _cells(width * scale), _cells(height * scale))
        for top, height in down
        for left, width in across
    ]


def _spans(length: int, scale: float, most: int) -> list[tuple[int, int]]:
    """Begin and length of each part along one side, all of one length, in pixels of the picture."""
    room = max(most + _CELL * 2 - OVERLAP_PX, _CELL)  # of a strip of a picture there is none
    count = max(math.ceil((length * scale - OVERLAP_PX) / room), 1)
    part = min(math.ceil((length + (count - 1) * OVERLAP_PX / scale) / count), length)
    return [(round(index * (length - part) / max(count - 1, 1)), part) for index in range(count)]


def _cells(pixels: float) -> int:
    return max(math.ceil(round(pixels) / _CELL), 1) * _CELL


class Gaze:
    """Chooses the part that a live unit looks at: where something moves, and every other time where a far plate is.

    Every fourth time it is the part that was not looked at longest, for what moves too little to be noticed.
    """

    def __init__(self) -> None:
        self._turn = 0
        self._looked: dict[View, int] = {}

    def choose(self, views: Sequence[View], tracks: Sequence[Track], moving: Gray | None = None) -> list[View]:
        """The part for this frame, none when there are none.

        ``tracks``: the vehicles under way. ``moving``: not 0 where something moves, over the whole picture in cells.
        """
        if not views:
            return []
        self._turn += 1
        chosen = self._followed(views, tracks) if self._turn % 2 == 0 else None
        if chosen is None:
            some = _where_it_moves(views, moving) if moving is not None and self._turn % 4 != 1 else views
            chosen = min(some or views, key=lambda view: self._looked.get(view, 0))
        self._looked = {view: self._looked.get(view, 0) for view in views} | {chosen: self._turn}
        return [chosen]

    def _followed(self, views: Sequence[View], tracks: Sequence[Track]) -> View | None:
        # The whole view keeps near plates in sight by itself: the longest unseen is a far one.
        far = min(tracks, key=lambda track: track.last_ns, default=None)
        if far is None:
            return None
        x, y = far.detection.box.centre
        return min(views, key=lambda view: math.dist((x, y), _middle(view)))


def _where_it_moves(views: Sequence[View], moving: Gray) -> list[View]:
    across = moving.shape[1] / max(view.left + view.width for view in views)
    down = moving.shape[0] / max(view.top + view.height for view in views)
    return [
        view
        for view in views
        if moving[
            int(view.top * down) : math.ceil((view.top + view.height) * down),
            int(view.left * across) : math.ceil((view.left + view.width) * across),
        ].any()
    ]


def _middle(view: View) -> tuple[float, float]:
    return view.left + view.width / 2, view.top + view.height / 2
