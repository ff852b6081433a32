"""The small things on and about a plate: EU bands, seals and dealers' lettering, drawn once and kept."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from glyphs import ALPHABET, CAPS_PX, Face, Gray
from layouts import FOLDED, LETTERS, Colour

_LUMA = np.array((0.114, 0.587, 0.299), np.float32)
_BLUE: Colour = (150, 60, 10)


def shade_of(colour: tuple[int, ...], gray: bool) -> tuple[float, ...]:
    """Return a BGR colour as OpenCV takes it, for a grey or a colour picture."""
    return (float(np.dot(_LUMA, colour)),) if gray else tuple(float(c) for c in colour)


def accented(glyphs: dict[str, Gray], rows: list[str]) -> dict[str, Gray]:
    """Return the glyphs, with those of the rows' letters with marks among them: a lower letter under its mark."""
    marked = {char for row in rows for char in row if char in FOLDED}
    made: dict[str, Gray] = {}
    for char in marked:
        base = glyphs[FOLDED[char]]
        high, wide = base.shape
        if char == "Đ":
            made[char] = base.copy()
            cv2.line(made[char], (0, high // 2), (wide * 2 // 5, high // 2), 255, max(1, high // 10))
            continue
        room = round(high * 0.24)
        glyph = np.zeros_like(base)
        glyph[room:] = cv2.resize(base, (wide, high - room), interpolation=cv2.INTER_AREA)
        stroke = max(1, round(high * 0.1))
        if char in "ÄÖÜ":
            for side in (0.28, 0.72):
                cv2.circle(
                    glyph, (round(wide * side), round(room * 0.4)), max(1, round(stroke * 0.7)), 255, -1, cv2.LINE_AA
                )
        else:
            tip = (wide // 2, round(room * (0.8 if char != "Ć" else 0.7)))
            for side in (0.25, 0.75) if char != "Ć" else (0.7,):
                cv2.line(glyph, (round(wide * side), 1), tip, 255, stroke, cv2.LINE_AA)
        made[char] = glyph
    return glyphs | made if made else glyphs


class Sprites:
    """Draws and keeps them; all chance comes from `rng`."""

    def __init__(self, rng: np.random.Generator, faces: Sequence[Face]) -> None:
        self._rng = rng
        self._faces = faces
        self._kept: dict[tuple[str, int], list[npt.NDArray[np.uint8]]] = {}

    def lettering(self, foot: int, room: int) -> Gray:
        """Return a small line of lettering for the holder, as a mask."""
        rng = self._rng
        key = ("dealer", foot)
        bank = self._kept.setdefault(key, [])
        if len(bank) < 24:
            glyphs = self._faces[int(rng.random() * len(self._faces))].masks[CAPS_PX[2]]
            word = "".join(LETTERS[int(p * 26)] for p in rng.random(int(rng.integers(5, 18))))
            line = np.hstack([np.pad(glyphs[c], ((0, 0), (0, 3))) for c in word])
            size = max(3, round(foot * 0.65))
            wide = max(8, round(line.shape[1] * size / line.shape[0]))
            bank.append(np.asarray(cv2.resize(line, (wide, size), interpolation=cv2.INTER_AREA), np.uint8))
        return bank[int(rng.random() * len(bank))][:, : max(4, room)]

    def band(self, letters: str, cap: int, gray: bool) -> npt.NDArray[np.uint8]:
        """Return the blue band with ring of stars and country letters for characters of `cap` px."""
        rng = self._rng
        bank = self._kept.setdefault((f"band-{letters}-{gray}", cap), [])
        if len(bank) < 8:
            high = round(cap / 0.7)
            wide = round(high * float(rng.uniform(0.34, 0.46)))
            scale = 4
            img = np.zeros((high * scale, wide * scale, 3), np.uint8)
            bare = rng.random() < 0.15  # no band: a flag and the country's letters on the plate itself
            ground = np.array((235.0,) * 3) if bare else np.array(_BLUE)
            img[:] = np.clip(ground + rng.normal(0, 18, 3), 0, 255)
            centre, ring = np.array((wide / 2, high * 0.3)) * scale, wide * scale * 0.3
            if bare:
                low, deep, left, right = (
                    round(v)
                    for v in (high * scale * rng.uniform(0.25, 0.6), ring * 0.4, centre[0] - ring, centre[0] + ring)
                )
                for stripe in range(3):
                    img[low + stripe * deep : low + (stripe + 1) * deep, left:right] = rng.integers(20, 250)
            elif letters.isdigit():  # the right-hand band of France and Italy: a region's arms over its number
                for _ in range(int(rng.integers(0, 6))):
                    spot = tuple(int(v) for v in centre + rng.normal(0, 0.35, 2) * ring)
                    level = int(rng.integers(120, 250))
                    cv2.circle(img, spot, max(1, int(ring * rng.uniform(0.2, 0.7))), (level,) * 3, -1, cv2.LINE_AA)
            for k in range(0 if bare or letters.isdigit() else 12):
                x, y = centre + ring * np.array((np.sin(k * np.pi / 6), np.cos(k * np.pi / 6)))
                cv2.circle(img, (int(x), int(y)), max(1, int(ring * 0.16)), (60, 200, 235), -1, cv2.LINE_AA)
            glyphs = self._faces[int(rng.random() * len(self._faces))].masks[CAPS_PX[0]]
            line = np.hstack([np.pad(glyphs[c], ((0, 0), (0, 6))) for c in letters])
            across = wide * scale * float(rng.uniform(0.45, 0.85))
            tall = min(across * line.shape[0] / line.shape[1], high * scale * float(rng.uniform(0.16, 0.3)))
            size = (max(4, round(tall * line.shape[1] / line.shape[0])), max(4, round(tall)))
            line = np.asarray(cv2.resize(line, size), np.uint8)[:, : wide * scale]
            top, left = int(high * scale * 0.9 - line.shape[0]), (wide * scale - line.shape[1]) // 2
            place = img[top : top + line.shape[0], left : left + line.shape[1]]
            ink = np.array((float(rng.uniform(200, 250)),) * 3 if rng.random() < 0.8 else (60.0, 200.0, 235.0))
            if bare:
                ink = np.array((float(rng.uniform(10, 70)),) * 3)
            place[:] = place + line.astype(np.float32)[..., None] / 255 * (ink - place)
            small = cv2.resize(img, (wide, high), interpolation=cv2.INTER_AREA)
            bank.append(np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY) if gray else small, np.uint8))
        return bank[int(rng.random() * len(bank))]

    def seal(self, canvas: npt.NDArray[np.uint8], x: int, y: int, cap: int, gray: bool) -> None:
        """Stamp an inspection seal, a pair of them, or a coat of arms between the groups, in place."""
        rng = self._rng
        kind = rng.random()
        if kind < 0.25:
            self._sticker(canvas, x, y, cap, gray)
            return
        if kind < 0.5:
            self._shield(canvas, x, y, cap, gray)
            return
        pick = rng.random(3)
        count, radius = (2, 0.2) if pick[0] < 0.45 else (1, 0.26 if pick[0] < 0.8 else 0.36)
        for k in range(count):
            centre = (x, y + round(cap * (0.5 if count == 1 else 0.24 + 0.52 * k)))
            size = max(2, round(cap * radius * float(rng.uniform(0.75, 1.05))))
            colour = shade_of(tuple(int(v) for v in rng.integers(20, 245, 3)), gray)
            cv2.circle(canvas, centre, size, colour, -1, cv2.LINE_AA)
            inner = shade_of(tuple(int(v) for v in rng.integers(0, 255, 3)), gray)
            if pick[1] < 0.5:
                cv2.circle(canvas, centre, max(1, round(size * 0.6)), inner, max(1, size // 4), cv2.LINE_AA)
            for _ in range(int(pick[2] * 4)):
                a, b = (rng.normal(0, 0.35, (2, 2)) * size).astype(int)
                cv2.line(
                    canvas,
                    (centre[0] + a[0], centre[1] + a[1]),
                    (centre[0] + b[0], centre[1] + b[1]),
                    inner,
                    max(1, size // 5),
                    cv2.LINE_AA,
                )

    def _shield(self, canvas: npt.NDArray[np.uint8], x: int, y: int, cap: int, gray: bool) -> None:
        """Paint a coat of arms: a shield with a cross, a parted field or a beast; not to be read."""
        rng = self._rng
        high = cap * float(rng.uniform(0.5, 1.15))
        wide = high * float(rng.uniform(0.6, 0.95))
        top = y + (cap - high) * float(rng.uniform(0.0, 0.6))
        rim = np.array([(-1, 0), (1, 0), (1, 0.55), (0.6, 0.85), (0, 1), (-0.6, 0.85), (-1, 0.55)])
        shape = np.round(rim * (wide / 2, high) + (x, top)).astype(np.int32)
        field, figure, edge = (shade_of(tuple(int(v) for v in rng.integers(0, 255, 3)), gray) for _ in range(3))
        if rng.random() < 0.85:
            cv2.fillPoly(canvas, [shape], field, cv2.LINE_AA)
        kind, thick = rng.random(), max(1, round(wide * float(rng.uniform(0.1, 0.28))))
        middle = (x, round(top + high * 0.45))
        if kind < 0.2:  # bars across or pales down, two or three
            count, down = int(rng.integers(2, 4)), rng.random() < 0.5
            for bar in range(1, count + 1):
                share = (bar - 0.5) / count
                across, along = round(x - wide * (0.5 - share)), round(top + high * 0.75 * share)
                start, end = (across, round(top)), (across, middle[1])
                if not down:
                    start, end = (round(x - wide * 0.42), along), (round(x + wide * 0.42), along)
                cv2.line(canvas, start, end, figure, max(1, round(wide * 0.5 / count)))
        elif kind < 0.4:  # a cross
            arm = wide * float(rng.uniform(0.28, 0.48))
            cv2.line(canvas, (round(x - arm), middle[1]), (round(x + arm), middle[1]), figure, thick)
            cv2.line(canvas, (x, round(middle[1] - arm)), (x, round(middle[1] + arm)), figure, thick)
        elif kind < 0.65:  # parted across, down or aslant
            ends = (
                ((x, top), (x, top + high)) if kind < 0.5 else ((x - wide / 2, top), (x + wide / 2, top + high * 0.6))
            )
            (a, b), (c, d) = ends
            cv2.line(canvas, (round(a), round(b)), (round(c), round(d)), figure, thick * 2)
        else:  # a beast, as far as a camera sees one
            for _ in range(int(rng.integers(2, 6))):
                a, b = rng.normal(0, 0.22, (2, 2)) * (wide, high) + middle
                cv2.line(
                    canvas, tuple(a.astype(int).tolist()), tuple(b.astype(int).tolist()), figure, max(1, thick // 2)
                )
        if rng.random() < 0.6:
            cv2.polylines(canvas, [shape], True, edge, max(1, cap // 22), cv2.LINE_AA)
        self._crown(canvas, (x, top, wide, high), edge)

    def _crown(
        self, canvas: npt.NDArray[np.uint8], place: tuple[int, float, float, float], edge: tuple[float, ...]
    ) -> None:
        """Set at times a crown above the shield at `place` (middle, top, width, height), or its land's name below."""
        rng = self._rng
        x, top, wide, high = place
        if rng.random() < 0.3:
            for side in np.linspace(-0.4, 0.4, int(rng.integers(3, 6))):
                spot = (round(x + side * wide), round(top - high * 0.06))
                cv2.circle(canvas, spot, max(1, round(wide * 0.09)), edge, -1, cv2.LINE_AA)
        if rng.random() < 0.3:  # too small to read
            low = round(top + high * float(rng.uniform(1.02, 1.12)))
            for left in range(round(x - wide * 0.5), round(x + wide * 0.5), max(2, round(wide * 0.14))):
                cv2.line(canvas, (left, low), (left, low + max(1, round(high * 0.08))), edge, max(1, round(high / 30)))

    def season(self, canvas: npt.NDArray[np.uint8], right: int, y: int, cap: int, gray: bool) -> None:
        """Stamp the two small months of a German seasonal plate, one over the other, left of `right`."""
        rng = self._rng
        face = self._faces[int(rng.random() * len(self._faces))].masks[CAPS_PX[2]]
        high = max(4, round(cap * 0.36))
        ink = float(rng.uniform(0, 60))
        for row in range(2):
            pair = np.hstack([np.pad(face[str(int(d))], ((0, 0), (0, 3))) for d in rng.integers(0, 10, 2)])
            wide = max(4, round(pair.shape[1] * high / pair.shape[0]))
            mask = cv2.resize(pair, (wide, high), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
            top = y + row * (cap - high)
            spot = canvas[top : top + high, max(0, right - wide - 1) :][:, :wide]
            if spot.shape[:2] == mask.shape:
                spot[:] = spot + (mask if gray else mask[..., None]) * (ink - spot)
        cv2.line(canvas, (right - 2 - high, y + cap // 2), (right - 2, y + cap // 2), (ink,) * 3, max(1, cap // 20))

    def _sticker(self, canvas: npt.NDArray[np.uint8], x: int, y: int, cap: int, gray: bool) -> None:
        """Stick a label or a shield between the groups, small letters on some: these are not to be read."""
        rng = self._rng
        high = max(4, round(cap * float(rng.uniform(0.35, 0.75))))
        wide = max(3, round(high * float(rng.uniform(0.5, 1.0))))
        y0 = y + round((cap - high) * float(rng.uniform(0.2, 0.8)))
        x0 = max(0, x - wide // 2)
        area = canvas[y0 : y0 + high, x0 : x0 + wide]
        if rng.random() < 0.6:
            area[:] = shade_of(tuple(int(v) for v in rng.integers(20, 250, 3)), gray)
        ink = np.array(shade_of(tuple(int(v) for v in rng.integers(0, 255, 3)), gray))
        if rng.random() < 0.5:
            cv2.rectangle(canvas, (x0, y0), (x0 + wide, y0 + high), tuple(ink), max(1, cap // 24))
        face = self._faces[int(rng.random() * len(self._faces))].masks[CAPS_PX[2]]
        lines, tall, top = int(rng.random() * 4), high // 3, high // 12
        if lines == 3:  # one large character instead, as on a tax sticker
            lines, tall, top = 1, high * 3 // 5, high // 5
        for row in range(lines):
            letter = face[ALPHABET[int(rng.random() * 36)]]
            small = cv2.resize(letter, (max(2, wide * 2 // 3), max(2, tall)), interpolation=cv2.INTER_AREA)
            spot = area[high * row // 2 + top :, wide // 6 :][: small.shape[0], : small.shape[1]]
            cover = small[: spot.shape[0], : spot.shape[1]].astype(np.float32) / 255
            spot[:] = spot + (cover if gray else cover[..., None]) * (ink - spot)
