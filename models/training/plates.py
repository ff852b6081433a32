"""The plate renderer: clean plates for the detector to paste, and degraded crops for the OCR to learn from.

renderer = PlateRenderer(np.random.default_rng(0), faces="drawn")
plate = renderer.flat("AB12CD")        # FlatPlate, clean and frontal
crops = renderer.crops()               # one or two of: uint8 32×128 before standardisation, and what it says
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import layouts
import numpy as np
import numpy.typing as npt
from degrade import degrade, far, lens
from glyphs import CAPS_PX, Face, Gray, drawn_faces
from layouts import STYLES, Style
from ocr_io import CROP_H, CROP_W
from sprites import Sprites, accented, shade_of

#: Of the crops to learn from so many are drawn 34 to 64 px wide, beside those that happen to be; and of those so many
#: are spoilt by nothing but their distance. Of small plates through the whole chain nobody reads more than half.
SMALL_SHARE, CLEAR_SHARE = 0.45, 0.6


@dataclass(frozen=True, slots=True)
class FlatPlate:
    """A clean, frontal plate: `gray` uint8 H×W, `bgr` uint8 H×W×3, `text` A–Z0–9 only, `rows` 1 or 2."""

    gray: Gray
    bgr: npt.NDArray[np.uint8]
    text: str
    rows: int


class PlateRenderer:
    """Draws plates; all chance comes from `rng`, so a seed gives the same plates again.

    `faces`: what to draw with; "drawn" for faces that need no font file; None for fonts and drawn ones.
    """

    def __init__(self, rng: np.random.Generator, faces: Sequence[Face] | Literal["drawn"] | None = None) -> None:
        self._rng = rng
        if faces is None:
            from faces import font_faces  # noqa: PLC0415 - needs Pillow, which drawn faces do without

            drawn = drawn_faces(120)
            fonts = font_faces()
            # a quarter of the plates in drawn dies: no free font has the Dutch and the German ones
            share = sum(f.weight for f in fonts) / 3 / len(drawn) if fonts else 1.0
            self._faces: list[Face] = [*fonts, *(Face(f.name, share, f.masks) for f in drawn)]
        else:
            self._faces = list(drawn_faces() if isinstance(faces, str) else faces)
        weights = np.cumsum([face.weight for face in self._faces])
        self._cumulative = weights / weights[-1]
        self._sprites = Sprites(rng, self._faces)

    def flat(self, text: str | None = None, style: str | None = None, *, american: bool = False) -> FlatPlate:
        """Draw a clean plate about 110 px a row high; `text` may carry the marks '-', ' ', '.' and '*'.

        `style`: a key of `layouts.STYLES`. Without them both are drawn by chance. `american`: half as high as wide.
        """
        rng = self._rng
        marked, named, band = self._text()
        if style is not None:
            named, band = style, STYLES[style].band
        if text is not None:
            marked = text.upper()
        rows = [marked]
        if text is None and not american and rng.random() < 0.15 and sum(c.isalnum() for c in marked) >= 4:
            rows = [row for row in layouts.two_rows(marked, rng) if row]
        look = _shade(STYLES[named], rng, 10)
        bgr = self._compose(rows, look, band, CAPS_PX[0], clean=True, american=american)
        gray = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
        return FlatPlate(np.asarray(gray, np.uint8), bgr, _plain("".join(rows)), len(rows))

    def worn(self, rows: list[str], style: str, band: str, plate_w: float) -> Gray:
        """Draw a worn grey plate, frontal, in pixels enough to be seen `plate_w` px wide; `rows` may carry marks."""
        cap = CAPS_PX[2] if plate_w < (70 if len(rows) == 2 else 95) else CAPS_PX[1]
        return self._compose(rows, _gray_look(STYLES[style], self._rng), band, cap, clean=False)

    def crops(self) -> list[tuple[Gray, str]]:
        """Draw a degraded plate as a rectifier cuts it: uint8 32×128 and its text, for each of its rows.

        The text is empty for the few whose rows are laid out wrongly: they are not to be read.
        """
        rng = self._rng
        marked, named, band = self._text()
        rows = [marked]
        if rng.random() < 0.24 and sum(c.isalnum() for c in marked) >= 4:
            rows = [row for row in layouts.two_rows(marked, rng) if row]
        double = len(rows) == 2
        small = rng.random() < SMALL_SHARE
        if small:
            plate_w = float(rng.uniform(34, 64))  # far plates are where reading fails first, so they are learnt most
        else:  # log-uniform: as many plates of 30–56 px as of 112–210
            plate_w = float(np.exp(rng.uniform(np.log(30), np.log(210)))) if not double else float(rng.uniform(34, 160))
        cap = CAPS_PX[2] if plate_w < (70 if double else 95) else CAPS_PX[1]
        canvas = self._compose(rows, _gray_look(STYLES[named], rng), band, cap, clean=False)
        seen, cap_px = self._look_at(canvas, plate_w, double)
        seen = far(seen, rng) if small and rng.random() < CLEAR_SHARE else degrade(seen, rng, cap_px)
        # Where a shape allows one row and two, the reader tries both and keeps the surer: the wrong one says nothing.
        wrong = rng.random() < 0.02
        return cut(seen, 2 if double != wrong else 1, [""] * 2 if wrong else [_plain(row) for row in rows], rng)

    def _text(self) -> tuple[str, str, str]:
        return layouts.arbitrary(self._rng) if self._rng.random() < 0.36 else layouts.national(self._rng)

    def _compose(
        self, rows: list[str], look: Style, band: str, cap: int, clean: bool, american: bool = False
    ) -> npt.NDArray[np.uint8]:
        """Draw a plate with characters `cap` px high: H×W×3 in colour when clean, else H×W."""
        rng = self._rng
        gray = not clean
        face = self._faces[int(np.searchsorted(self._cumulative, rng.random()))]
        glyphs = face.masks[cap]
        double = len(rows) == 2
        if band == "GB":  # its prescribed die (2001) draws O and 0 alike, and I and 1
            glyphs = glyphs | {"0": glyphs["O"], "1": glyphs["I"]}
        glyphs = accented(glyphs, rows)
        cap_share, aspect, captioned = _american(rng) if american else self._proportions(rows, clean)
        high = round(cap / cap_share)
        wide = round(high * aspect)
        canvas = np.empty((high, wide) if gray else (high, wide, 3), np.uint8)
        canvas[:] = shade_of(look.ground, gray)
        lefts, right = self._bands(canvas, "" if captioned else band, cap, double, gray)
        ink = np.array(shade_of(look.ink, gray), np.float32)
        emboss = float(rng.uniform(0, 40)) if gray and rng.random() < 0.35 else 0.0
        slots = [(0.5 - 0.52 * cap_share if not double else 0.27, rows[0])]
        if double:
            slots = [
                (0.5 - cap_share - float(rng.uniform(0.03, 0.08)), rows[0]),
                (0.5 + float(rng.uniform(0.03, 0.08)), rows[1]),
            ]
        for (top, row), left in zip(slots, lefts, strict=False):
            mask, seals = self._row(row, glyphs, cap, wide - left - right)
            y = min(max(0, round(top * high)), high - cap)
            slack = wide - left - right - mask.shape[1]
            at = left + int(slack * (0.5 if clean or rng.random() < 0.6 else float(rng.uniform(0.2, 0.8))))
            area = canvas[y : y + cap, at : at + mask.shape[1]]
            alpha = mask.astype(np.float32) * np.float32(1 / 255)
            painted = np.asarray(area + (alpha if gray else alpha[..., None]) * (ink - area), np.float32)
            if emboss:
                painted[1:] += emboss * (alpha[1:] - alpha[:-1])
            canvas[y : y + cap, at : at + mask.shape[1]] = np.clip(painted, 0, 255)
            for x in seals:
                self._sprites.seal(canvas, at + x, y, cap, gray)
            if not double and rng.random() < 0.04:
                self._sprites.season(canvas, wide - right, y, cap, gray)
        if captioned:
            self._captions(canvas, cap, look)
        if rng.random() < 0.5:
            cv2.rectangle(canvas, (0, 0), (wide - 1, high - 1), shade_of(look.ink, gray), max(1, round(high * 0.018)))
        if not clean:
            self._screws(canvas, gray)
        return canvas

    def _proportions(self, rows: list[str], clean: bool) -> tuple[float, float, bool]:
        """Return the characters' share of the height, width over height, and whether lettering stands about."""
        rng = self._rng
        if len(rows) == 2:
            aspect = float(rng.choice([340 / 220, 280 / 200])) if clean else float(rng.uniform(1.05, 1.75))
            return float(rng.uniform(0.35, 0.4)), aspect, False
        cap_share = float(rng.uniform(0.64, 0.76))
        if clean:
            return cap_share, 520 / 110, False
        if len(rows[0]) <= 8 and rng.random() < 0.07:
            return _american(rng)
        if len(rows[0]) <= 5 and rng.random() < 0.5:
            return cap_share, float(rng.uniform(2.6, 4.2)), False  # short plates are often cut short
        return cap_share, float(rng.uniform(4.3, 4.95)), False

    def _bands(
        self, canvas: npt.NDArray[np.uint8], band: str, cap: int, double: bool, gray: bool
    ) -> tuple[list[int], int]:
        """Paint the EU band; return where each row may begin and how much is taken at the right, in px."""
        rng = self._rng
        high, wide = canvas.shape[:2]
        edge = max(1, round(0.03 * high))
        if not band or rng.random() >= 0.85:
            return [edge, edge], edge
        sprite = self._sprites.band(band, cap, gray)
        low = double and rng.random() < 0.5  # the band of a square plate often ends above the second row
        band_h = round(high * float(rng.uniform(0.4, 0.55))) if low else high
        band_w = round(sprite.shape[1] * high / sprite.shape[0] * (0.55 if double else 1.0))
        canvas[:band_h, :band_w] = cv2.resize(sprite, (band_w, band_h), interpolation=cv2.INTER_AREA)
        lefts = [edge + band_w, edge if low else edge + band_w]
        if band not in ("F", "I") or double or rng.random() >= 0.7:
            return lefts, edge
        sprite = self._sprites.band(str(int(rng.integers(1, 96))), cap, gray)
        canvas[:, wide - band_w :] = cv2.resize(sprite, (band_w, high), interpolation=cv2.INTER_AREA)
        return lefts, edge + band_w

    def _captions(self, canvas: npt.NDArray[np.uint8], cap: int, look: Style) -> None:
        """Letter the strips above and below the characters, in place."""
        rng = self._rng
        strip = (canvas.shape[0] - cap) // 2
        if strip < 5:
            return
        ink = np.array(shade_of(look.ink, canvas.ndim == 2)) * float(rng.uniform(0.6, 1.0)) + 40
        for y0 in (0, canvas.shape[0] - strip):
            if rng.random() < 0.75:
                words = self._sprites.lettering(strip, canvas.shape[1] - 4)
                x = (canvas.shape[1] - words.shape[1]) // 2
                area = canvas[y0 + strip // 6 :, x:][: words.shape[0], : words.shape[1]]
                cover = words.reshape(*words.shape, *(1,) * (canvas.ndim - 2)).astype(np.float32) / 255
                area += (cover * (ink - area)).astype(np.int16).astype(np.uint8)

    def _row(self, row: str, glyphs: dict[str, Gray], cap: int, room: int) -> tuple[Gray, list[int]]:
        """Set one row of text: its ink mask (cap × at most `room` px) and the x of each seal."""
        rng = self._rng
        gap = float(rng.uniform(0.07, 0.2)) * cap
        widths = {
            "-": float(rng.uniform(0.18, 0.36)) * cap,
            " ": float(rng.uniform(0.12, 0.42)) * cap,
            ".": 0.16 * cap,
        }
        seal = float(rng.uniform(0.3, 0.62)) * cap
        broad = max(glyphs[c].shape[1] for c in row if c in glyphs) / cap
        stretch = min(float(rng.uniform(0.68, 1.2)), 0.95 / broad)
        ink = sum(glyphs[c].shape[1] if c in glyphs else widths.get(c, seal) for c in row)
        natural = (ink + gap * (len(row) - 1)) * stretch
        target = min(natural, room * float(rng.uniform(0.86, 0.99)))
        if natural < 0.8 * room and len(row) >= 5 and rng.random() < 0.7:
            # dies are spread over the plate rather than left narrow in its middle
            gap = min(gap * 2.2, gap + (0.85 * room - natural) / (stretch * len(row)))
            target = min((ink + gap * (len(row) - 1)) * stretch, room * 0.97)
        mask = np.zeros((cap, round(ink + gap * (len(row) - 1)) + 2), np.uint8)
        scale = target / mask.shape[1]
        x, seals = 0.0, []
        for char in row:
            at = round(x)
            if char in glyphs:
                glyph = glyphs[char]
                mask[:, at : at + glyph.shape[1]] = glyph
                x += glyph.shape[1] + gap
                continue
            width = widths.get(char, seal)
            if char == "-":
                half = max(1, round(0.06 * cap))
                mask[cap // 2 - half : cap // 2 + half, at : max(at + 2, round(x + width))] = 255
            elif char == ".":
                low = cap // 2 if rng.random() < 0.5 else cap - round(0.1 * cap)
                mask[
                    max(0, low - round(0.09 * cap)) : low + round(0.09 * cap),
                    at : max(at + 2, round(x + width)),
                ] = 255
            elif char == "*":
                seals.append(round((x + width / 2) * scale))
            x += width + gap
        wide = max(4, min(room, round(target)))
        sized = cv2.resize(mask, (wide, cap), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        return np.asarray(sized, np.uint8), seals

    def _look_at(self, canvas: Gray, plate_w: float, double: bool) -> tuple[Gray, float]:
        """See the plate on a car, `plate_w` px wide, cut by a rectifier that errs; also its cap height."""
        rng = self._rng
        high, wide = canvas.shape
        scale = plate_w / wide
        plate_h = high * scale * float(rng.uniform(0.82, 1.12))
        if scale < 0.8:
            canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), lens(rng) / scale), np.uint8)
        pad_x, pad_y = round(0.3 * high) + 2, round(0.4 * high) + 2
        around = float(rng.uniform(0, 1)) ** 1.3 * 230
        border = (pad_y, pad_y, pad_x, pad_x)
        scene = np.asarray(cv2.copyMakeBorder(canvas, *border, cv2.BORDER_CONSTANT, value=around), np.uint8)
        self._frame(scene, pad_x, pad_y)
        base = float(rng.random()) ** 1.4 * 0.2
        margins = base + rng.normal(0, 0.018, 4)
        # A row that fills its plate loses a part of its first or last character to a corner set too far inside.
        least = -0.04 if rng.random() < (0.4 if double else 0.12) else -0.015
        margins[:2] += 0.6 * least if least < -0.02 else 0.0
        left, right = np.clip(margins[:2], least, 0.22) * (0.5 if base > 0.1 and rng.random() < 0.5 else 1)
        top, bottom = np.clip(margins[2:] + rng.normal(0, 0.035, 2), -0.06, 0.3)
        if double:
            # one shift moves the seam between the rows, as a wrong upper or lower corner does
            shift = float(rng.normal(0, 0.025))
            top, bottom = max(-0.05, top * 0.6 + shift), max(-0.05, bottom * 0.6 - shift)
        size = (max(12, round(plate_w * (1 + left + right))), max(8, round(plate_h * (1 + top + bottom))))
        x0, y0 = left * plate_w, top * plate_h
        quad = np.array([[x0, y0], [x0 + plate_w, y0], [x0 + plate_w, y0 + plate_h], [x0, y0 + plate_h]])
        quad += rng.normal(0, 1, (4, 2)) * (0.006 * plate_w, 0.03 * plate_h)
        lean, tilt = rng.normal(0, 0.07), rng.normal(0, 0.04)
        if rng.random() < 0.1:  # not rectified at all: a box round a tilted plate
            lean, tilt = rng.normal(0, 0.16), rng.normal(0, 0.14)
        quad[:2, 0] += lean * plate_h / 2
        quad[2:, 0] -= lean * plate_h / 2
        quad[[0, 3], 1] -= tilt * plate_h
        quad[[1, 2], 1] += tilt * plate_h
        corners = np.array([[0, 0], [wide, 0], [wide, high], [0, high]]) + np.array((pad_x, pad_y))
        # corners are pixel edges, warpPerspective counts from pixel centres
        way = cv2.getPerspectiveTransform((corners - 0.5).astype(np.float32), (quad - 0.5).astype(np.float32))
        seen = cv2.warpPerspective(scene, way, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(seen, np.uint8), plate_h * (0.38 if double else 0.7)

    def _frame(self, scene: Gray, pad_x: int, pad_y: int) -> None:
        """Draw a plate holder, its dealer's text and the edges of the bodywork round the plate, in place."""
        rng = self._rng
        h, w = scene.shape
        high = h - 2 * pad_y
        pick = rng.random(4)
        if pick[0] < 0.35:  # bumper edges
            y = int(rng.random() * pad_y) if pick[1] < 0.5 else h - 1 - int(rng.random() * pad_y)
            cv2.line(
                scene,
                (0, y),
                (w, y + int(rng.normal(0, 2))),
                float(rng.uniform(0, 255)),
                max(1, int(rng.random() * 0.15 * high)),
            )
        if pick[2] < 0.45:
            level = float(rng.uniform(0, 70) if rng.random() < 0.75 else rng.uniform(120, 230))
            thick = max(1, round(high * float(rng.uniform(0.02, 0.1))))
            foot = round(high * float(rng.uniform(0.08, 0.2))) if pick[3] < 0.55 else thick
            x0, x1, y0, y1 = pad_x - thick, w - pad_x + thick, pad_y - thick, h - pad_y
            for a, b, c, d in (
                (y0, pad_y, x0, x1),
                (y1, y1 + foot, x0, x1),
                (y0, y1, x0, pad_x),
                (y0, y1, w - pad_x, x1),
            ):
                scene[max(0, a) : max(0, b), max(0, c) : max(0, d)] = level
            if foot > thick and foot >= 4:
                words = self._sprites.lettering(foot, w - 2 * pad_x)
                ink = float(rng.uniform(150, 250)) if level < 100 else float(rng.uniform(0, 80))
                x = pad_x + int(rng.random() * max(1, w - 2 * pad_x - words.shape[1]))
                y = y1 + (foot - words.shape[0]) // 2
                area = scene[y : y + words.shape[0], x : x + words.shape[1]]
                cover = words[: area.shape[0], : area.shape[1]].astype(np.float32) / 255
                scene[y : y + words.shape[0], x : x + words.shape[1]] = area + cover * (ink - area)

    def _screws(self, canvas: npt.NDArray[np.uint8], gray: bool) -> None:
        rng = self._rng
        if rng.random() > 0.2:
            return
        h, w = canvas.shape[:2]
        level = shade_of((int(rng.integers(20, 230)),) * 3, gray)
        for side in (float(rng.uniform(0.06, 0.25)), float(rng.uniform(0.75, 0.94))):
            where = (int(side * w), int(h * (0.5 if rng.random() < 0.4 else rng.choice([0.08, 0.92]))))
            cv2.circle(canvas, where, max(1, round(0.035 * h)), level, -1, cv2.LINE_AA)


def cut(seen: Gray, rows: int, texts: Sequence[str], rng: np.random.Generator) -> list[tuple[Gray, str]]:
    """Cut a flat plate into its rows as the reader does it, scaled by one method or another: 32×128 and text each."""
    way = (cv2.INTER_LINEAR, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA)[int(rng.random() * 4)]
    whole = np.asarray(cv2.resize(seen, (CROP_W, CROP_H * rows), interpolation=way), np.uint8)
    return [(np.ascontiguousarray(part), text) for part, text in zip(np.split(whole, rows), texts, strict=False)]


def _american(rng: np.random.Generator) -> tuple[float, float, bool]:
    """As `_proportions` tells them: the name of a state above or below is not to be read."""
    return float(rng.uniform(0.42, 0.54)), float(rng.uniform(1.9, 2.3)), True


def _plain(marked: str) -> str:
    return "".join(layouts.FOLDED.get(c, c) for c in marked if c.isalnum())


def _shade(style: Style, rng: np.random.Generator, spread: float) -> Style:
    light, dark = rng.normal(0, spread, 2)
    ground = tuple(int(np.clip(c + light + rng.normal(0, spread / 3), 0, 255)) for c in style.ground)
    ink = tuple(int(np.clip(c + dark + rng.normal(0, spread / 3), 0, 255)) for c in style.ink)
    return Style(ground, ink, style.band)  # type: ignore[arg-type]


def _gray_look(style: Style, rng: np.random.Generator) -> Style:
    """Give the style worn greys: only the order of ground and ink and a readable distance are kept."""
    ground, ink = shade_of(style.ground, True)[0], shade_of(style.ink, True)[0]
    ground = float(np.clip(ground + rng.normal(0, 25), 10, 255))
    away = max(45.0, abs(ground - ink) * float(rng.uniform(0.6, 1.05)))
    ink = float(np.clip(ground - away if ink < ground else ground + away, 0, 255))
    return Style((round(ground),) * 3, (round(ink),) * 3, style.band)
