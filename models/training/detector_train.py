"""Train the plate detector on one CPU core; stop and start it as you like.

    python detector_train.py --data DATA --minutes 96

Beside what every run keeps, runs/detector/ holds places.json: places that may be unlabelled plates, and places that
look like plates and are none.
"""

from __future__ import annotations

import json
from pathlib import Path

import detector_measure
import numpy as np
import torch
from captions import OPENCV_FONTS, learnt_fonts
from detector_loss import assign, loss
from detector_model import Detector
from glyphs import drawn_faces
from plates import PlateRenderer
from run import HALF, Run, arguments, log, prepare
from scenes import HEIGHT, WIDTH, SceneMaker
from splits import Photo, held_back_photos, recall_search, training_photos
from tqdm import tqdm

RATE, DECAY = 2e-3, 1e-2
#: When (share of the time) the training photos are searched for places that the network takes for plates and no
#: label knows. In the dashcam set, where labels are missing, the surest count neither way: how sure, falls from search
#: to search, because early on most are lights and at .4 late on two in three are plates. Elsewhere all are mistakes but
#: one in sixty (counted by eye), and views are made around them. A run that starts from weights searches at once.
SEARCH_AT = (0.2, 0.28, 0.45, 0.65, 0.85)
SEARCH_FROM_WEIGHTS = (0.0, 0.45)
UNLABELLED_SET, UNLABELLED_SCORES = "ro_dashcam", (0.6, 0.6, 0.5, 0.45, 0.4)
MISTAKE_SCORE = 0.25
#: Every other photo is searched in the size of the far view.
NEAR, FAR = (HEIGHT, WIDTH), (576, 960)


def search(net: torch.nn.Module, photos: list[Photo], path: Path, sure: float) -> str:
    """Note where the network sees plates that no label knows; returns how many of which kind."""
    noted: dict[str, dict[str, list[list[float]]]] = {}
    for photo in tqdm(photos, desc="search", mininterval=10):
        kind, score = ("ignore", sure) if photo.source == UNLABELLED_SET else ("hard", MISTAKE_SCORE)
        size = FAR if len(noted.setdefault(kind, {})) % 2 else NEAR
        found = detector_measure.detect(detector_measure.torch_infer(net), photo.gray, score, *size).boxes
        found = detector_measure.unlabelled(found, photo.boxes)
        noted.setdefault(kind, {})[f"{photo.source}/{photo.name}"] = found.round(1).tolist()
    path.write_text(json.dumps(noted))
    return str({kind: sum(map(len, places.values())) for kind, places in noted.items()})


def main() -> None:
    """Read the command line and train."""
    parser = arguments(__doc__, "detector", minutes=96)
    parser.add_argument("--batch", type=int, default=8, help="canvases of 640x384 a step")
    parser.add_argument("--measure-s", type=float, default=600.0, help="seconds between looks at held-back photos")
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data is needed: the folder with openimages_plates, ro_dashcam, pl_photos")
    prepare(args)
    run = Run(Detector, args, RATE, DECAY)
    photos, held = training_photos(args.data), held_back_photos(args.data)
    log.info("%d photos to train on; held back: %s", len(photos), {name: len(part) for name, part in held.items()})
    rng = np.random.default_rng([args.seed, run.step])
    faces = [face.masks[40] for face in drawn_faces()]
    renderer = PlateRenderer(rng, faces="drawn" if args.drawn else None)
    maker = SceneMaker(photos, renderer, faces, OPENCV_FONTS if args.drawn else learnt_fonts(), rng)
    places = args.run / "places.json"
    maker.hard = recall_search(photos, places)
    searches = SEARCH_FROM_WEIGHTS if args.start else SEARCH_AT
    measured = run.seconds

    def step() -> tuple[torch.Tensor, dict[str, float], int]:
        done = run.counters.get("searches", 0)
        if done < len(searches) and run.share >= searches[done]:
            sure = UNLABELLED_SCORES[-1 if args.start else done]
            log.info("places without a label: %s", search(run.averaged(), photos, places, sure))
            maker.hard = recall_search(photos, places)
            run.counters["searches"] = done + 1
            run.pause()
        scenes = [maker.canvas() for _ in range(args.batch)]
        images = torch.from_numpy(np.stack([scene.image for scene in scenes])[:, None])
        with torch.autocast("cpu", torch.bfloat16, enabled=HALF):
            outputs = run.net(images.contiguous(memory_format=torch.channels_last))
        return *loss(outputs, assign(scenes)), len(scenes)

    def measure() -> dict[str, float]:
        nonlocal measured
        if run.seconds - measured < args.measure_s and run.share < 1:
            return {}
        measured = run.seconds
        infer = detector_measure.torch_infer(run.averaged())
        return {f"ap50 {name}": detector_measure.measure(infer, part)["ap50"] for name, part in held.items()}

    run.loop(step, measure, args.save_s)


if __name__ == "__main__":
    main()
