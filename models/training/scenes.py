"""Training pictures for the detector: views of labelled photos with rendered plates pasted in.

A pasted plate is the only one whose four corners are known exactly.

    maker = SceneMaker(photos, PlateRenderer(rng), faces, learnt_fonts(), rng)
    scene = maker.canvas()        # Scene: 384x640 gray, boxes, quads

A canvas is one wide view or a mosaic of four or six narrower ones: the network sees the size it runs at, and
small crops still come in numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from captions import Captions, Font
from pasting import FloatArray, Gray, Masks, PlatePool, Renderer, apart, clutter, erase, holder, lay, lit, seen_quad
from splits import Photo

HEIGHT, WIDTH = 384, 640
PAD = 114
MIN_WIDTH_PX = 11.0
MIN_VISIBLE = 0.65
#: How much a plate's corners count. Those of real plates are unknown: labelled boxes often take the holder in.
EXACT, UNKNOWN = 1.0, 0.0
#: A plate whose lightest and darkest parts, after a blur against noise, are nearer than this many grays is not seen by
#: anybody; to ask for it teaches to take darkness for plates.
LEAST_CONTRAST = 12.0

#: Share of the views that are made around such places, and of those that show little but a plate.
HARD_SHARE, CLOSE_SHARE = 0.14, 0.12
#: Least and most room left, above, right and below in every other of those, in widths and heights of the plate: without
#: most of its vehicle around it one real plate in twenty was not found.
CLOSE_UP = (0.05, 0.3, 0.05, 0.3), (0.5, 3.0, 0.5, 3.0)
#: Share of the views with text written over them, as cameras and recorders do.
CAPTIONED_SHARE = 0.22

#: (columns, rows) of a mosaic, its share, and the widest plate that is asked for in one of its tiles.
_LAYOUTS = ((1, 1, 0.42, 620.0), (2, 2, 0.33, 270.0), (3, 2, 0.25, 150.0))
_SETS = {"openimages_plates": 0.58, "ro_dashcam": 0.30, "pl_photos": 0.12}


@dataclass(slots=True)
class Scene:
    """A gray picture and its plates.

    Boxes [n,4] x1 y1 x2 y2 are clipped to what is seen, quads [n,4,2] are not; `corner` [n] weighs the corners.

    `use` [n] is false for what does not count either way: too small, cut off too far, perhaps no plate.
    """

    image: Gray
    boxes: FloatArray
    quads: FloatArray
    corner: FloatArray
    use: np.ndarray[tuple[int], np.dtype[np.bool_]]


class _Plates:
    """The plates of one view while it is being made."""

    def __init__(self) -> None:
        self.quads: list[FloatArray] = []
        self.corner: list[float] = []
        self.maybe: list[bool] = []

    def add(self, quad: FloatArray, corner: float, maybe: bool = False) -> None:
        self.quads.append(np.asarray(quad, np.float32))
        self.corner.append(corner)
        self.maybe.append(maybe)

    def boxes(self) -> FloatArray:
        """Upright boxes [n,4] around all of them."""
        return box_of(np.asarray(self.quads, np.float32).reshape(-1, 4, 2))

    def scene(self, image: Gray) -> Scene:
        """Clip the plates to the picture and decide which of them count."""
        quads = np.asarray(self.quads, np.float32).reshape(-1, 4, 2)
        boxes = box_of(quads)
        height, width = image.shape
        seen = np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
        share = _area(seen) / np.maximum(_area(boxes), 1e-6)
        use = (share >= MIN_VISIBLE) & (seen[:, 2] - seen[:, 0] >= MIN_WIDTH_PX) & ~np.asarray(self.maybe, bool)
        for plate in np.flatnonzero(use):
            use[plate] = contrast(image, seen[plate]) >= LEAST_CONTRAST
        there = share > 0.02
        corner = np.asarray(self.corner, np.float32)
        return Scene(image, seen[there], quads[there], corner[there], use[there])


def contrast(image: Gray, box: FloatArray) -> float:
    """How far light and dark parts of a box x1 y1 x2 y2 are apart, in grays, noise and specks left out."""
    low, high = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
    part = cv2.blur(image[low[1] : high[1], low[0] : high[0]], (3, 3))
    dark, bright = np.percentile(part, [8, 92])
    return float(bright - dark)


def box_of(quads: FloatArray) -> FloatArray:
    """Upright boxes [n,4] around quads [n,4,2]."""
    return np.concatenate([quads.min(1), quads.max(1)], axis=1) if len(quads) else np.zeros((0, 4), np.float32)


def _area(boxes: FloatArray) -> FloatArray:
    return np.asarray(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1))


def _corners(box: FloatArray) -> FloatArray:
    x1, y1, x2, y2 = box
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float32)


def view(photo: Photo, matrix: FloatArray, height: int, width: int, pad: int = PAD) -> Gray:
    """Look at a photo through `matrix` (2x3, photo edges to view edges), from the mip that fits best."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    level = int(np.clip(np.floor(-np.log2(max(scale, 1e-6)) + 0.25), 0, len(photo.mips) - 1))
    mip = photo.mips[level]
    linear = matrix[:, :2] @ np.diag([photo.gray.shape[1] / mip.shape[1], photo.gray.shape[0] / mip.shape[0]])
    shift = matrix[:, 2] + linear @ np.array([0.5, 0.5]) - 0.5  # OpenCV counts from pixel centres
    picture = cv2.warpAffine(
        mip, np.column_stack([linear, shift]), (width, height), flags=cv2.INTER_LINEAR, borderValue=float(pad)
    )
    return np.asarray(picture, np.uint8)


class SceneMaker:
    """Makes training canvases, `faces` on its signs and `fonts` in its captions; all chance comes from `rng`."""

    def __init__(
        self,
        photos: list[Photo],
        renderer: Renderer,
        faces: list[Masks],
        fonts: list[Font],
        rng: np.random.Generator,
    ) -> None:
        self._rng = rng
        self._faces = faces
        self.hard: list[Photo] = []  # photos with places that the network took for plates
        self.pool = PlatePool(renderer, rng)
        self._captions = Captions(rng, fonts)
        self._night = False
        self._sets = [(share, [p for p in photos if p.source == name]) for name, share in _SETS.items()]
        self._sets = [(share, found) for share, found in self._sets if found] or [(1.0, photos)]
        self._noise = rng.normal(0, 1, (1024, 1024)).astype(np.float32)

    def canvas(self) -> Scene:
        """Make one 384x640 canvas."""
        rng = self._rng
        self.pool.renew(2)
        columns, rows, _, widest = _LAYOUTS[int(rng.choice(len(_LAYOUTS), p=[layout[2] for layout in _LAYOUTS]))]
        xs = np.linspace(0, WIDTH, columns + 1).astype(int)
        ys = np.linspace(0, HEIGHT, rows + 1).astype(int)
        image = np.empty((HEIGHT, WIDTH), np.uint8)
        parts: list[Scene] = []
        for top, bottom in pairwise(ys):
            for left, right in pairwise(xs):
                part = self.tile(int(bottom - top), int(right - left), widest)
                image[top:bottom, left:right] = part.image
                part.boxes += np.array([left, top, left, top], np.float32)
                part.quads += np.array([left, top], np.float32)
                parts.append(part)
        fields = ([getattr(part, name) for part in parts] for name in ("boxes", "quads", "corner", "use"))
        return Scene(image, *(np.concatenate(field) for field in fields))

    def tile(self, height: int, width: int, widest: float) -> Scene:
        """Make one view, plates at most `widest` px wide; light, pastes, blur, noise and JPEG included."""
        rng = self._rng
        if rng.random() < CLOSE_SHARE:
            return self._close(height, width, widest)
        hard = bool(self.hard) and rng.random() < HARD_SHARE
        photo = self.hard[int(rng.integers(len(self.hard)))] if hard else self._photo()
        matrix, flip = self._place(photo, photo.hard if hard else photo.boxes, height, width, widest)
        image = view(photo, matrix, height, width, PAD if rng.random() < 0.8 else int(rng.integers(0, 256)))
        image = self._light(image)
        plates = _Plates()
        self._real(photo, matrix, flip, image, plates)
        for _ in range(int(rng.poisson(0.5))):
            self._clutter(image, plates)
        for _ in range(int(rng.poisson(0.45)) if len(plates.quads) else int(rng.random() < 0.7)):
            self._elsewhere(image, plates, widest)
        return plates.scene(self._spoil(image, plates))

    def _close(self, height: int, width: int, widest: float) -> Scene:
        """A crop of a plate, at times with some of its vehicle: in the view's corner, with padding right and below."""
        rng = self._rng
        photo = self._photo()
        while not len(photo.boxes):
            photo = self._photo()
        chosen = int(rng.integers(len(photo.boxes)))
        box = photo.boxes[chosen]
        wide, tall = float(box[2] - box[0]), float(box[3] - box[1])
        room = rng.uniform(0.01, 0.15, 4) if rng.random() < 0.5 else rng.uniform(*CLOSE_UP)
        room *= np.array([wide, tall, wide, tall])
        low = np.maximum(np.floor(box[:2] - room[:2]), 0).astype(int)
        part = photo.gray[low[1] : int(box[3] + room[3]) + 1, low[0] : int(box[2] + room[2]) + 1]
        scale = min(width / part.shape[1], height / part.shape[0], widest / wide) * float(rng.uniform(0.3, 1.0))
        size = max(8, int(part.shape[1] * scale)), max(4, int(part.shape[0] * scale))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = np.full((height, width), PAD, np.uint8)
        shown = image[: size[1], : size[0]]
        shown[:] = self._light(np.asarray(cv2.resize(part, size, interpolation=method), np.uint8))
        seen = np.asarray((box - np.tile(low, 2)) * scale, np.float32)
        flat = self.pool.pick(wide / max(tall, 1e-3)) if rng.random() < 0.5 and wide * scale >= 14 else None
        plates = _Plates()
        for other in (*np.delete(photo.boxes, chosen, axis=0), *photo.ignore):
            plates.add(_corners((other - np.tile(low, 2)) * scale), UNKNOWN, maybe=True)
        if flat is None:
            plates.add(_corners(seen), UNKNOWN)
        else:
            self._cover(shown, flat, seen, plates)
        shown[:] = self._spoil(shown.copy(), plates)
        scene = plates.scene(shown)  # a tilted plate may reach out of the cut
        scene.image = image
        return scene

    def _photo(self) -> Photo:
        rng = self._rng
        shares = np.cumsum([share for share, _ in self._sets])
        _, photos = self._sets[int(np.searchsorted(shares / shares[-1], rng.random()))]
        return photos[int(rng.integers(len(photos)))]

    def _place(
        self, photo: Photo, anchors: FloatArray, height: int, width: int, widest: float
    ) -> tuple[FloatArray, bool]:
        """Choose a view of the photo, mostly around an anchor: matrix from photo to view, whether mirrored."""
        rng = self._rng
        high, wide = photo.gray.shape
        stretch = np.array([np.exp(rng.normal(0, 0.06)), np.exp(rng.normal(0, 0.06))])
        kind, straight = rng.random(), False
        flip = bool(rng.random() < 0.5)
        fit = min(height / high, width / wide)
        if kind < (0.3 if widest > 300 else 0.1) or not len(anchors):
            if rng.random() < 0.5:  # the whole photo, as the unit sees it, with its padding at the right or below
                return np.array([[fit, 0, 0], [0, fit, 0]], np.float32), False
            scale = fit * float(rng.uniform(0.9, 1.8))
            spot, target = rng.random(2) * [wide, high], np.array([width, height]) / 2
        elif kind > 0.91:  # anywhere: mostly road, trees and bodywork
            scale = fit * float(np.exp(rng.uniform(0, 1.6)))
            spot, target = rng.random(2) * [wide, high], np.array([width, height]) / 2
        else:
            box = anchors[int(rng.integers(len(anchors)))]
            across = float(box[2] - box[0])
            straight = across > 3.0 * float(box[3] - box[1])
            wanted = float(np.exp(rng.uniform(np.log(12), np.log(widest))))
            if rng.random() < (0.5 if widest > 300 else 0.25):
                wanted = float(rng.uniform(0.15, 1.0)) * widest  # wide plates are rare in the photos, near cars are not
            fill = max(height / high, width / wide) * float(rng.uniform(0.7, 1.2))
            scale = min(max(wanted / across, fill), max(3.0, fill))
            spot = np.array([box[0] + box[2], box[1] + box[3]]) / 2
            half = np.minimum(
                np.array([across, float(box[3] - box[1])]) * scale * 0.45, np.array([width, height]) * 0.45
            )
            target = half + rng.random(2) * (np.array([width, height]) - 2 * half)
            if rng.random() < 0.85:  # keep the view inside the photo
                before = spot * scale
                after = np.array([wide, high]) * scale - before
                if flip:
                    before[0], after[0] = after[0], before[0]
                target = np.minimum(np.maximum(target, np.array([width, height]) - after), before)
        angle = np.deg2rad(float(rng.normal(0, 9))) if straight and rng.random() < 0.4 else 0.0
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = scale * turn @ np.diag(stretch * [-1 if flip else 1, 1])
        return np.asarray(np.column_stack([linear, target - linear @ spot]), np.float32), flip

    def _real(self, photo: Photo, matrix: FloatArray, flip: bool, image: Gray, plates: _Plates) -> None:
        """Carry the photo's labels into the view; some of its plates are covered by rendered ones."""
        rng = self._rng
        cover = flip or rng.random() < 0.45  # mirrored lettering is on no road: covered, or not asked for
        for box in photo.boxes:
            quad = _corners(box) @ matrix[:, :2].T + matrix[:, 2]
            quad = np.asarray(quad[[1, 0, 3, 2]] if flip else quad, np.float32)
            seen = box_of(quad[None])[0]
            high, wide = float(seen[3] - seen[1]), float(seen[2] - seen[0])
            aspect = wide / max(high, 1e-3)
            if (
                cover
                and wide >= 14
                and seen[2] > 4
                and seen[3] > 4
                and seen[0] < image.shape[1] - 4
                and seen[1] < image.shape[0] - 4
            ):
                flat = self.pool.pick(aspect)
                if flat is not None:
                    self._cover(image, flat, seen, plates)
                    continue
            plates.add(quad, UNKNOWN, maybe=flip)
        for box in photo.ignore:
            plates.add(_corners(box) @ matrix[:, :2].T + matrix[:, 2], UNKNOWN, maybe=True)

    def _cover(self, image: Gray, flat: Gray, seen: FloatArray, plates: _Plates) -> None:
        """Paste over a real plate, in its light; what the new plate leaves open is painted over first."""
        rng = self._rng
        low, high = np.maximum(np.floor(seen[:2]).astype(int), 0), np.ceil(seen[2:]).astype(int)
        dark, bright = np.percentile(image[low[1] : high[1], low[0] : high[0]], [5, 92])
        wide, tall = float(seen[2] - seen[0]), float(seen[3] - seen[1])
        centre = (float(seen[0] + seen[2]) / 2, float(seen[1] + seen[3]) / 2)
        tilted = rng.random() < 0.4
        quad = seen_quad(rng, centre, wide, wide / tall, tilt=25 if tilted else 4, turn=55 if tilted else 15)
        got = box_of(quad[None])[0]
        grow = float(rng.uniform(1.02, 1.12)) * max(
            1.0, tall / max(float(got[3] - got[1]), 1e-3) if not tilted else 1.0
        )
        quad = (quad - np.array(centre, np.float32)) * np.float32(min(grow, 1.6)) + np.array(centre, np.float32)
        erase(image, seen + np.array([-0.04 * wide, -0.06 * tall, 0.04 * wide, 0.06 * tall], np.float32))
        bright = max(float(bright) * float(rng.uniform(0.85, 1.3)), float(dark) + 35)
        self._lay(image, flat, quad, float(dark) * float(rng.uniform(0.4, 1.1)), bright)
        plates.add(quad, EXACT)

    def _elsewhere(self, image: Gray, plates: _Plates, widest: float) -> None:
        """Paste a plate on a free place: bodywork, road, anything."""
        rng = self._rng
        height, width = image.shape
        flat = self.pool.pick()
        assert flat is not None
        aspect = flat.shape[1] / flat.shape[0] * float(np.exp(rng.normal(0, 0.1)))
        for _ in range(5):
            most = min(widest, height * 0.9 * aspect)
            wide = float(np.exp(rng.uniform(np.log(11), np.log(most))))
            if rng.random() < 0.5:
                wide = float(rng.uniform(0.15, 1.0)) * most
            half = np.array([wide * 0.42, wide / aspect * 0.42])
            spot = half + rng.random(2) * (np.array([width, height]) - 2 * half)
            tilted = rng.random() < 0.45
            quad = seen_quad(
                rng, (float(spot[0]), float(spot[1])), wide, aspect, 28 if tilted else 5, 58 if tilted else 20
            )
            box = box_of(quad[None])[0]
            if not apart(box, plates.boxes(), 2 + 0.06 * wide):
                continue
            low, high = np.maximum(np.floor(box[:2]).astype(int), 0), np.ceil(box[2:]).astype(int)
            around = float(np.mean(image[low[1] : high[1] + 1, low[0] : high[0] + 1]))
            bright = float(np.clip(around * rng.uniform(0.8, 2.2) + rng.uniform(5, 60), 45, 255))
            if rng.random() < 0.15:
                bright = float(rng.uniform(220, 330))  # headlights on the reflecting foil
            self._lay(image, flat, quad, float(rng.uniform(0, 0.4)) * min(bright, around + 20), bright)
            plates.add(quad, EXACT)
            return

    def _lay(self, image: Gray, flat: Gray, quad: FloatArray, dark: float, bright: float) -> None:
        """Lay one plate, often in a holder: the holder stays outside the quad, so that the rim is learned."""
        rng = self._rng
        wide = float(np.ptp(quad[:, 0]))
        if rng.random() < 0.65:
            level, ink = dark * float(rng.uniform(0.5, 1.5)), bright * float(rng.uniform(0.4, 1.0))
            if rng.random() < 0.2:
                level, ink = ink, level
            lay(image, *holder(rng, self._faces, quad, level, ink))
        blur = float(np.exp(rng.uniform(np.log(0.2), np.log(1.4)))) if rng.random() < 0.6 else 0.0
        if self._night and rng.random() < 0.4:  # infrared lamps beside the lens: the foil shines into the letters
            bright, dark = float(rng.uniform(240, 420)), float(rng.uniform(10, 110))
            blur += float(rng.uniform(0.0, 0.03)) * wide
            wide *= 2
        lay(image, lit(rng, flat, dark, bright), quad, blur=min(blur, wide / 40))

    def _clutter(self, image: Gray, plates: _Plates) -> None:
        """Add lettering or a sign that is no plate, at times over nothing, never over a plate."""
        rng = self._rng
        gray, alpha = clutter(rng, self._faces)
        height, width = image.shape
        wide = float(np.exp(rng.uniform(np.log(25), np.log(width))))
        aspect = gray.shape[1] / gray.shape[0]
        spot = (float(rng.uniform(0, width)), float(rng.uniform(0, height)))
        quad = seen_quad(rng, spot, wide, aspect, tilt=20, turn=45)
        box = box_of(quad[None])[0]
        if not apart(box, plates.boxes()):
            return
        low, high = sorted(rng.uniform(5, 250, 2))
        lay(
            image,
            np.asarray(low + (high - low) * (gray / 235.0), np.float32).clip(0, 255).astype(np.uint8),
            quad,
            alpha,
        )

    def _light(self, image: Gray) -> Gray:
        """Change exposure and contrast; one view in five becomes dusk or night with lamps."""
        rng = self._rng
        levels = np.arange(256, dtype=np.float32) / 255
        if rng.random() < 0.5:
            levels = levels ** float(np.exp(rng.normal(0, 0.35)))
        if rng.random() < 0.6:
            levels = (levels - 0.45) * float(np.exp(rng.normal(0, 0.3))) + 0.45 + float(rng.normal(0, 0.1))
        self._night = night = bool(rng.random() < 0.22)
        if night:
            levels = np.clip(levels, 0, 1) ** float(rng.uniform(1, 1.6)) * float(rng.uniform(0.18, 0.65))
        image = np.asarray(cv2.LUT(image, np.clip(levels * 255, 0, 255).astype(np.uint8)), np.uint8)
        if night and rng.random() < 0.7:
            self._lamps(image)
        return image

    def _lamps(self, image: Gray) -> None:
        """Add the glare of one to four lamps, in place."""
        rng = self._rng
        height, width = image.shape
        small = np.zeros((height // 4, width // 4), np.float32)
        for _ in range(int(rng.integers(1, 5))):
            where = (int(rng.integers(width // 4)), int(rng.integers(height // 4)))
            cv2.circle(small, where, int(rng.integers(1, 6)), float(rng.uniform(150, 700)), -1)
        glow = cv2.GaussianBlur(small, (0, 0), float(rng.uniform(1, 7))) + cv2.GaussianBlur(small, (0, 0), 0.8) * 0.5
        glow = cv2.resize(glow, (width, height), interpolation=cv2.INTER_LINEAR)
        image[:] = np.clip(image + glow, 0, 255).astype(np.uint8)

    def _spoil(self, image: Gray, plates: _Plates) -> Gray:
        """Blur, noise and JPEG of the whole view; the blur spares the smallest plate."""
        rng = self._rng
        least = min((float(np.ptp(quad[:, 0])) for quad in plates.quads), default=80.0)
        if rng.random() < 0.35:
            sigma = min(float(rng.uniform(0.3, 1.8)), least / 28)
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), max(sigma, 0.1)), np.uint8)
        if rng.random() < 0.12 and least > 30:
            length = min(int(rng.integers(3, 12)), int(least / 8))
            kernel = np.zeros((length, length), np.float32)
            ends = rng.integers(0, length, 2)
            cv2.line(kernel, (0, int(ends[0])), (length - 1, int(ends[1])), 1.0)
            image = np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)
        if rng.random() < 0.5:
            top, left = rng.integers(0, 1024 - np.array(image.shape), endpoint=True)
            field = self._noise[top : top + image.shape[0], left : left + image.shape[1]]
            sigma = min(float(rng.exponential(4.0)), 16.0)
            image = np.clip(image + field * np.float32(sigma) + 0.5, 0, 255).astype(np.uint8)
        if rng.random() < CAPTIONED_SHARE:
            for _ in range(int(rng.integers(1, 4))):
                self._captions.write(image, plates.boxes())
        if rng.random() < 0.3:
            _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 92))])
            image = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)
        return image
