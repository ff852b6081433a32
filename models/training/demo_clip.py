"""Composes the demo clip: cars out of CC BY photos drive through a roadside camera's view, by day and at dusk.

    python models/training/demo_clip.py --data DIR --out edge_anpr/demo/clip.mp4 --strip docs/demo.jpg

`DIR` holds `openimages_plates/` (photos named by id, and labels.jsonl). Every plate of the photos is painted out and
a drawn one that was never issued is set in its place, lit like the one that was there. Beside the clip stands
`truth.json`: from which frame to which each vehicle is in the picture, and the plate's corners in those frames that
show all of it. The same photos and seed give the same frames again.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import demo_paint as paint
import demo_scenery as scenery
import numpy as np
import numpy.typing as npt
from demo_paint import HEIGHT, SS, WIDTH, Image, Matrix, Photo
from demo_scenery import Car
from plates import PlateRenderer

Quad = npt.NDArray[np.float64]  # corners in the picture, 4×2, from the upper left clockwise

FPS = 12
HORIZON = -900.0  # the camera looks down at the road, so the horizon is far above the picture
PASSAGE_FRAMES = 30
GAP_FRAMES = 15
NIGHTFALL_FRAMES = 20  # by day, fade, at dusk: all on the empty road
PLATE_W_PX = 124.0  # at the middle of the picture


@dataclass(frozen=True, slots=True)
class Passage:
    """One vehicle: its plate (with marks) and look, lane (px off the middle), tint of the paint (gain of B, G, R)."""

    plate: str
    style: str
    car: Car
    light: str
    lane: float
    seed: int
    listed: bool = False
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    hue: int = 0  # turns a green car's paint, in OpenCV's half degrees

    @property
    def text(self) -> str:
        """The plate as a reader writes it: A–Z0–9 only."""
        return "".join(c for c in self.plate if c.isalnum())


# Dutch series since 1978 have no vowels and no C or Q; no German district begins with Q; Belgian series begin with 1
# and 2 and have no I, O, Q. The listed two have no character that another is easily taken for, the others may.
PASSAGES = (
    Passage("QA-528-C", "NL", scenery.FIAT, "day", -30, 6),
    Passage("74-CAE-3", "NL", scenery.VOLVO, "day", 40, 3, listed=True),
    Passage("QU*CE 294", "white-eu", scenery.TWINGO, "day", -20, 6),
    Passage("QE-45-CU", "NL", scenery.ESCORT, "day", 30, 7),
    Passage("5-AUC-39", "NL", scenery.KIA, "day", -45, 2),
    Passage("A-285-QE", "NL", scenery.KIA, "dusk", -25, 6),
    Passage("EC-937-A", "NL", scenery.VOLVO, "dusk", 35, 13, listed=True),
    Passage("4-QIO-208", "red-on-white", scenery.ESCORT, "dusk", 20, 2),
    Passage("32-UQA-6", "NL", scenery.TWINGO, "dusk", -35, 7, tint=(0.95, 0.95, 0.95), hue=24),
    Passage("U-610-EQ", "NL", scenery.FIAT, "dusk", 0, 3, tint=(0.95, 0.78, 0.62)),
)


def car_way(passage: Passage, out: paint.CutOut, t: float, shake: npt.NDArray[np.float64]) -> tuple[Matrix, float]:
    """Return the 3×3 way from the photo to the picture at `t` (0 to 1 of the passage), and the scale."""
    plate = np.array(passage.car.plate)
    per_y = PLATE_W_PX / float(plate[:, 0].max() - plate[:, 0].min()) / (HEIGHT * 0.6 - HORIZON)
    height = out.ground - float(passage.car.polygon[:, 1].min())
    first = -12.0
    last = (HEIGHT + 15 - height * per_y * HORIZON) / (1 - height * per_y)
    # an even speed on the road is an even change of the inverse distance from the horizon
    near, far = 1 / (last - HORIZON), 1 / (first - HORIZON)
    share = t if passage.car.front else 1 - t
    y = HORIZON + 1 / (far + (near - far) * share)
    scale = per_y * (y - HORIZON)
    drift = 9 * np.sin(2.1 * t + passage.seed)
    x = WIDTH / 2 + (passage.lane + drift) * (y - HORIZON) / (HEIGHT * 0.6 - HORIZON) + shake[0]
    lean = 0.012 * np.sin(1.7 * t + passage.seed) + 0.003 * shake[2]
    a, b = scale * np.cos(lean), scale * np.sin(lean)
    way = np.array(((a, -b, x), (b, a, y + shake[1]), (0, 0, 1.0)))
    home = np.array(((1, 0, -out.middle), (0, 1, -out.ground), (0, 0, 1.0)))
    # the nearer flank is a little larger than the farther one
    skew = np.eye(3)
    skew[2, 0] = -passage.lane * 1.2e-6
    return way @ skew @ home, scale


def load_photo(data: Path, photo: str) -> npt.NDArray[np.uint8]:
    """Read a photo by its Open Images id: uint8 H×W×3."""
    picture = cv2.imread(str(data / "openimages_plates" / "images" / f"{photo}.jpg"))
    if picture is None:
        raise SystemExit(f"{photo}.jpg is missing; --data names the folder that holds openimages_plates/images")
    return np.asarray(picture, np.uint8)


# -- the clip ---------------------------------------------------------------------------------------------------------


def lit_plate(passage: Passage, light: npt.NDArray[np.float32]) -> Image:
    """Draw the passage's plate in the light of the place where it goes: float32 H×W×3."""
    flat = PlateRenderer(np.random.default_rng(passage.seed), faces="drawn").flat(passage.plate, passage.style)
    if flat.text != passage.text:
        raise SystemExit("the renderer drew another text than it was given")
    shade = np.linspace(1.02, 0.93, flat.bgr.shape[0], dtype=np.float32)[:, None, None]
    lit = np.asarray(flat.bgr.astype(np.float32) * light * shade, np.float32)
    # the sheeting throws a passing lamp's light back, so at dusk a plate is brighter than the bumper it hangs on
    return lit if passage.light == "day" else np.asarray(paint.dusk(lit, 0.82), np.float32)


def compose(
    road: Image, passage: Passage, out: paint.CutOut, plate: Image, rng: np.random.Generator
) -> list[tuple[Image, Quad]]:
    """Return the frames of one passage before the sensor, each with the plate's corners."""
    frames = []
    bgra = out.bgra
    if passage.light == "dusk":
        bgra = np.dstack((paint.dusk(bgra[..., :3], 0.62), bgra[..., 3]))
    shake = np.zeros(3)
    before = None
    for k in range(PASSAGE_FRAMES):
        shake = 0.5 * shake + rng.normal(0, 0.35, 3)
        way, scale = car_way(passage, out, k / (PASSAGE_FRAMES - 1), shake)
        canvas = road.copy()
        paint.draw_shadow(canvas, passage.car, way, scale, passage.light)
        onto = np.diag((SS, SS, 1.0)) @ way
        size = (WIDTH * SS, HEIGHT * SS)
        paint.over(canvas, np.asarray(cv2.warpPerspective(bgra, onto, size, flags=cv2.INTER_LINEAR), np.float32))
        quad = paint.draw_plate(canvas, plate, passage.car, way)
        if passage.light == "dusk":
            paint.draw_lamps(canvas, passage.car, way, scale)
        moved = 0.0 if before is None else abs(float(quad.mean(0)[1] - before))
        before = float(quad.mean(0)[1])
        frames.append((paint.smear(canvas, moved * SS * (0.03 if passage.light == "day" else 0.06)), quad))
    return frames


def known_texts(data: Path) -> set[str]:
    """Return every text on a real plate in the folder's labels."""
    texts: set[str] = set()
    for labels in sorted(data.glob("*/labels.jsonl")):
        for line in labels.read_text("utf-8").splitlines():
            row = json.loads(line)
            texts.update(t for t in [*(row.get("texts") or []), row.get("text")] if t)
    return texts


def make_clip(data: Path, clip: Path) -> tuple[dict[str, Any], list[Photo]]:
    """Write the clip; return what is true of it, and a few frames to show."""
    taken = known_texts(data) & {p.text for p in PASSAGES}
    if taken:
        raise SystemExit(f"{len(taken)} plate(s) of the demo stand in the labels of real photos; change them")
    rng = np.random.default_rng(2026)
    roads = {
        light: paint.road_view(load_photo(data, road.photo), road, light)
        for light, road in (("day", scenery.DAY_ROAD), ("dusk", scenery.DUSK_ROAD))
    }
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (WIDTH, HEIGHT))
    number, light = 0, "day"
    passages: list[dict[str, Any]] = []
    shown: list[Photo] = []

    def empty(count: int) -> None:
        nonlocal number
        for _ in range(count):
            writer.write(paint.sense(roads[light], light, rng))
            number += 1

    empty(GAP_FRAMES)
    for passage in PASSAGES:
        if passage.light != light:
            for k in range(NIGHTFALL_FRAMES):
                share = np.float32((k + 1) / (NIGHTFALL_FRAMES + 1))
                mixed = np.asarray(roads["day"] * (1 - share) + roads["dusk"] * share, np.float32)
                writer.write(paint.sense(mixed, "dusk", rng))
                number += 1
            light = passage.light
            empty(GAP_FRAMES)
        out = paint.cut_out(load_photo(data, passage.car.photo), passage.car, passage.tint, passage.hue)
        first, quads = number, {}
        best: tuple[float, Photo] | None = None
        for canvas, quad in compose(roads[light], passage, out, lit_plate(passage, out.light), rng):
            frame = paint.sense(canvas, light, rng)
            writer.write(frame)
            if (quad > 2).all() and (quad < (WIDTH - 2, HEIGHT - 2)).all():
                quads[str(number)] = [[round(float(c), 1) for c in corner] for corner in quad]
                away = abs(float(quad[:, 1].mean()) - 300)
                best = (away, frame) if best is None or away < best[0] else best
            number += 1
        passages.append(
            {
                "plate": passage.text,
                "first_frame": first,
                "last_frame": number - 1,
                "light": passage.light,
                "listed": passage.listed,
                "quads": quads,
            }
        )
        if best:
            shown.append(best[1])
        empty(GAP_FRAMES)
    writer.release()
    truth = {"clip": clip.name, "fps": FPS, "size": [WIDTH, HEIGHT], "frames": number, "passages": passages}
    return truth, shown


def write_strip(path: Path, frames: list[Photo]) -> None:
    """Write a still for the README: three frames by day over three at dusk."""
    tiles = [cv2.resize(f, (400, 300), interpolation=cv2.INTER_AREA) for f in (frames[k] for k in (0, 1, 3, 6, 7, 9))]
    strip = np.vstack([np.hstack(tiles[:3]), np.hstack(tiles[3:])])
    cv2.imwrite(str(path), strip, [cv2.IMWRITE_JPEG_QUALITY, 74])


def main() -> None:
    """Compose the clip and what belongs to it."""
    parser = argparse.ArgumentParser(description="Compose the demo clip out of CC BY photos and drawn plates.")
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds openimages_plates/")
    parser.add_argument(
        "--out", type=Path, default=Path("edge_anpr/demo/clip.mp4"), help="the clip; truth.json goes beside it"
    )
    parser.add_argument("--strip", type=Path, help="also write a picture of six frames")
    args = parser.parse_args()
    truth, shown = make_clip(args.data, args.out)
    args.out.with_name("truth.json").write_text(json.dumps(truth) + "\n", "utf-8")
    if args.strip:
        write_strip(args.strip, shown)
    megabytes = args.out.stat().st_size / 1e6
    print(f"{args.out}: {truth['frames']} frames, {len(truth['passages'])} passages, {megabytes:.2f} MB")


if __name__ == "__main__":
    main()
