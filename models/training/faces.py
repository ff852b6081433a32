"""The font faces the OCR is trained on: found in the cache that `fonts.sh` fills, made into glyph masks."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from glyphs import ALPHABET, Face, Gray, shrink

# Plate dies descend from DIN 1451 and road-sign faces; a monospaced or a wide face is only there for variety.
_WEIGHTS = (
    (
        re.compile(
            r"opendin|osifont|RG2014|share-?tech|barlow-(semi-)?condensed|saira-(semi-)?condensed|rajdhani",
            re.I,
        ),
        3.0,
    ),
    (
        re.compile(
            r"routed|national-?park|overpass|sofia-sans|oswald|condensed|narrow|b612|gothic|khand|teko|cuprum",
            re.I,
        ),
        1.6,
    ),
)
_UNWANTED = re.compile(
    r"italic|oblique|serif|thin|hairline|extralight|ultralight|-light|light\.|math|symbol|emoji|-(100|200|300)-|ExtLt|"
    r"half.?outlined|stencil|outline|inline",
    re.I,
)
_NOT_SERIF = re.compile(r"sans-?serif", re.I)


def font_cache() -> Path:
    """Return the folder that `fonts.sh` fills (env EDGE_ANPR_FONTS, else ~/.cache/edge-anpr/fonts)."""
    return Path(os.environ.get("EDGE_ANPR_FONTS") or Path.home() / ".cache/edge-anpr/fonts")


def licence_allows(package: Path) -> bool:
    """Say whether a Debian package's fonts are free of the plain GPL, by its machine-readable copyright."""
    for path in package.glob("usr/share/doc/*/copyright"):
        text = path.read_text(errors="replace")
        for paragraph in re.split(r"\n\s*\n", text):
            files = re.search(r"^Files:\s*(.+)", paragraph, re.M)
            licence = re.search(r"^License:\s*(.+)", paragraph, re.M)
            if not files or not licence or files[1].startswith(("debian", "*.metainfo")):
                continue
            name = licence[1]
            if re.search(r"\bA?GPL", name) and not re.search(r"exception|FE\b|OFL|\bor\b.*(MIT|Apache)", name, re.I):
                return False
    return True


def font_files(cache: Path | None = None) -> list[Path]:
    """List the usable upright font files in the cache, in a stable order."""
    root = cache or font_cache()
    found: list[Path] = []
    for package in sorted((root / "debian").glob("*/")):
        if licence_allows(package):
            found += sorted(
                p for p in package.rglob("*") if p.suffix.lower() in (".ttf", ".otf") and not p.is_symlink()
            )
    found += sorted((root / "npm").glob("*/files/*-latin-[4-9]00-normal.woff"))
    return [p for p in found if not _UNWANTED.search(_NOT_SERIF.sub("", p.name))]


def load_face(path: Path) -> Face | None:  # noqa: PLR0911 - one return for each way to be unfit
    """Rasterise A–Z0–9 of one font file, or return None when it lacks a glyph."""
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415 - drawn faces must work without Pillow

    try:
        font = ImageFont.truetype(str(path), 128)
    except OSError:
        return None
    missing = font.getmask("￾").getbbox(), bytes(font.getmask("￾"))
    masks: dict[str, Gray] = {}
    top, bottom = font.getbbox("H")[1], font.getbbox("H")[3]
    high = int(bottom - top)
    if high < 20:
        return None
    for char in ALPHABET:
        image = Image.new("L", (400, 300))
        ImageDraw.Draw(image).text((100, 60), char, font=font, fill=255)
        mask = np.asarray(image, np.uint8)
        if not mask.any() or (font.getmask(char).getbbox(), bytes(font.getmask(char))) == missing:
            return None
        columns = np.flatnonzero(mask.max(0))
        rows = np.flatnonzero(mask.max(1))
        tight = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        if tight.shape[0] < 0.8 * high:
            return None  # text figures or small capitals: no plate has them
        # overshoot of round glyphs is squeezed away: a die has one height
        width = max(4, round(tight.shape[1] * (high / tight.shape[0] if tight.shape[0] > high else 1.0)))
        masks[char] = np.asarray(cv2.resize(tight, (width, high), interpolation=cv2.INTER_AREA), np.uint8)
    if len({m.tobytes() for m in masks.values()}) < 34:
        return None
    stem = int((masks["L"][high // 3] > 127).sum()) / high
    if not 0.08 <= stem <= 0.26:
        return None  # hairlines and posters: no die is that thin or fat
    weight = next((w for pattern, w in _WEIGHTS if pattern.search(path.name)), 1.0)
    return Face(path.stem, weight, shrink(masks))


@lru_cache(maxsize=4)
def font_faces(cache: Path | None = None) -> tuple[Face, ...]:
    """Load every usable face of the cache; empty when `fonts.sh` has not been run."""
    faces = [load_face(path) for path in font_files(cache)]
    return tuple(face for face in faces if face is not None)
