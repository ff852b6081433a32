"""Train the plate detector on one CPU core; stop and start it as you like.

    python detector_train.py --data DATA --minutes 96

State goes to runs/detector/: checkpoint.safetensors (weights, EMA, optimiser), places.json (places that may
be unlabelled plates), curve.json and train.log. A second start goes on where the first one ended.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from pathlib import Path

import cv2
import detector_measure
import numpy as np
import torch
from detector_loss import assign, loss
from detector_model import Detector
from glyphs import drawn_faces
from plates import PlateRenderer
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from scenes import HEIGHT, WIDTH, Scene, SceneMaker
from splits import Photo, held_back_photos, recall_search, training_photos
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from tqdm import tqdm

RATE, DECAY, CLIP, EMA = 2e-3, 1e-2, 5.0, 0.998
#: Half precision pays only where the processor multiplies it: without it bf16 is ten times slower than float.
HALF = torch.backends.cpu.get_cpu_capability() in ("AVX512_BF16", "AMX") or torch.cpu._is_avx512_bf16_supported()
WARM_UP, FLAT_SHARE, LAST_SHARE = 150, 0.25, 0.015
#: When (share of the time) the training photos are searched for places that the network takes for plates and no
#: label knows. In the dashcam set, where labels are missing, the surest count neither way: how sure, falls from search
#: to search, because early on most are lights and at .4 late on two in three are plates. Elsewhere all are mistakes but
#: one in sixty (counted by eye), and views are made around them.
SEARCH_AT = (0.0, 0.45)
UNLABELLED_SET, UNLABELLED_SCORES = "ro_dashcam", (0.4, 0.4)
MISTAKE_SCORE = 0.25
NEAR, FAR = (HEIGHT, WIDTH), (576, 960)

log = logging.getLogger("detector")


class Run:
    """One training run and everything that a restart needs."""

    def __init__(self, folder: Path, seed: int) -> None:
        torch.manual_seed(seed)
        self.folder, self.seed = folder, seed
        self.net = Detector().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = {name: value.detach().clone() for name, value in self.net.state_dict().items()}
        decayed = [p for p in self.net.parameters() if p.ndim > 1]
        plain = [p for p in self.net.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": DECAY}, {"params": plain, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=RATE)
        self.step, self.seen, self.elapsed_s, self.searches = 0, 0, 0.0, 0
        self.curve: list[dict[str, float]] = []

    def learn(self, scenes: list[Scene]) -> dict[str, float]:
        """Take one step; returns the parts of the loss."""
        images = torch.from_numpy(np.stack([scene.image for scene in scenes])[:, None])
        with torch.autocast("cpu", torch.bfloat16, enabled=HALF):
            outputs = self.net(images.contiguous(memory_format=torch.channels_last))
        total, parts = loss(outputs, assign(scenes))
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        clip_grad_norm_(self.net.parameters(), CLIP)
        self.optimiser.step()
        self.average()
        self.step += 1
        self.seen += len(scenes)
        return parts

    def start(self, weights: Path) -> None:
        """Begin with the weights of an earlier run."""
        state = {k: v.float() if v.is_floating_point() else v for k, v in load_file(weights).items()}
        self.net.load_state_dict(state)
        self.ema = {name: value.detach().clone() for name, value in self.net.state_dict().items()}

    def average(self) -> None:
        """Move the EMA one step; it starts fast, so that early measurements say something."""
        keep = min(EMA, (1 + self.step) / (10 + self.step))
        for name, value in self.net.state_dict().items():
            if value.dtype.is_floating_point:
                self.ema[name].lerp_(value, 1 - keep)
            else:
                self.ema[name].copy_(value)

    def averaged(self) -> Detector:
        """The EMA as a network for inference."""
        net = Detector()
        net.load_state_dict(self.ema)
        return net.eval()

    def save(self) -> None:
        """Write the checkpoint; a crash while writing leaves the former one."""
        tensors: dict[str, Tensor] = {f"net.{k}": v.contiguous() for k, v in self.net.state_dict().items()}
        tensors |= {f"ema.{k}": v.contiguous() for k, v in self.ema.items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"opt.{index}.{k}": torch.as_tensor(v).contiguous() for k, v in state.items()}
        numbers = {name: getattr(self, name) for name in ("step", "seen", "elapsed_s", "searches")}
        beside = self.folder / "checkpoint.tmp"
        save_file(tensors, beside, metadata={"numbers": json.dumps(numbers)})
        beside.replace(self.folder / "checkpoint.safetensors")
        (self.folder / "curve.json").write_text(json.dumps(self.curve, indent=0))

    def restore(self) -> bool:
        """Take up the checkpoint, if there is one."""
        path = self.folder / "checkpoint.safetensors"
        if not path.exists():
            return False
        state = self.optimiser.state_dict()
        with safe_open(path, "pt") as stored:
            names = list(stored.keys())
            self.net.load_state_dict({n[4:]: stored.get_tensor(n) for n in names if n.startswith("net.")})
            self.ema = {n[4:]: stored.get_tensor(n) for n in names if n.startswith("ema.")}
            for name in names:
                if name.startswith("opt."):
                    _, index, key = name.split(".")
                    state["state"].setdefault(int(index), {})[key] = stored.get_tensor(name)
            for name, value in json.loads(stored.metadata()["numbers"]).items():
                setattr(self, name, value)
        self.optimiser.load_state_dict(state)
        curve = self.folder / "curve.json"
        self.curve = json.loads(curve.read_text()) if curve.exists() else []
        return True


def rate_at(share: float, step: int, most: float = RATE) -> float:
    """Learning rate after `share` of the time: warm-up by steps, flat, then a cosine down."""
    warm = min(1.0, (step + 1) / WARM_UP)
    if share <= FLAT_SHARE:
        return most * warm
    fall = 0.5 * (1 + math.cos(math.pi * min(1.0, (share - FLAT_SHARE) / (1 - FLAT_SHARE))))
    return most * warm * (LAST_SHARE + (1 - LAST_SHARE) * fall)


def search(net: Detector, photos: list[Photo], path: Path, sure: float) -> str:
    """Note where the network sees plates that no label knows; returns how many of which kind."""
    noted: dict[str, dict[str, list[list[float]]]] = {}
    for photo in tqdm(photos, desc="search", mininterval=10):
        kind, score = ("ignore", sure) if photo.source == UNLABELLED_SET else ("hard", MISTAKE_SCORE)
        size = FAR if len(noted.setdefault(kind, {})) % 2 else NEAR
        found = detector_measure.detect(net, photo.gray, score, *size).boxes
        found = detector_measure.unlabelled(found, photo.boxes)
        noted.setdefault(kind, {})[f"{photo.source}/{photo.name}"] = found.round(1).tolist()
    path.write_text(json.dumps(noted))
    return str({kind: sum(map(len, places.values())) for kind, places in noted.items()})


def train(run: Run, photos: list[Photo], held: dict[str, list[Photo]], args: argparse.Namespace) -> None:
    """Train until the minutes are over; a checkpoint every `--save-s`, a measurement every `--measure-s`."""
    rng = np.random.default_rng([run.seed, run.step])
    faces = [face.masks[40] for face in drawn_faces()]
    maker = SceneMaker(photos, PlateRenderer(rng, faces="drawn" if args.drawn else None), faces, rng)
    places = run.folder / "places.json"
    maker.hard = recall_search(photos, places)
    budget_s = args.minutes * 60
    last = saved = measured = time.monotonic()
    sums: dict[str, float] = {}
    run.net.train()
    bar = tqdm(total=int(budget_s), initial=int(run.elapsed_s), unit="s", mininterval=10)
    while run.elapsed_s < budget_s:
        share = run.elapsed_s / budget_s
        if run.searches < len(SEARCH_AT) and share >= SEARCH_AT[run.searches]:
            log.info(
                "places without a label: %s", search(run.averaged(), photos, places, UNLABELLED_SCORES[run.searches])
            )
            maker.hard = recall_search(photos, places)
            run.searches += 1
            last = time.monotonic()  # searching and measuring are not training time
        rate = rate_at(share, run.step, args.rate)
        for group in run.optimiser.param_groups:
            group["lr"] = rate
        parts = run.learn([maker.canvas() for _ in range(args.batch)])
        now = time.monotonic()
        run.elapsed_s, last = run.elapsed_s + now - last, now
        bar.update(int(run.elapsed_s) - bar.n)
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + value
        if run.step % 100 == 0:
            log.info(
                "step %d seen %d lr %.5f %s",
                run.step,
                run.seen,
                rate,
                {k: round(v / 100, 4) for k, v in sums.items()},
            )
            point = {"minutes": run.elapsed_s / 60, "seen": run.seen} | {k: v / 100 for k, v in sums.items()}
            run.curve.append({k: round(v, 4) for k, v in point.items()})
            sums = {}
        if now - measured > args.measure_s:
            measured = now
            figures = {name: detector_measure.measure(run.averaged(), part)["ap50"] for name, part in held.items()}
            log.info("minute %.1f held back AP50 %s", run.elapsed_s / 60, figures)
            run.curve.append({"minutes": round(run.elapsed_s / 60, 2), "seen": run.seen} | figures)
            last = time.monotonic()
        if now - saved > args.save_s:
            saved = now
            run.save()
    run.save()


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with openimages_plates, ro_dashcam, pl_photos")
    parser.add_argument("--minutes", type=float, default=96.0, help="training time in all, restarts included")
    parser.add_argument("--run", type=Path, default=Path(__file__).parent / "runs" / "detector")
    parser.add_argument(
        "--start", type=Path, help="weights of an earlier run to begin with: weights/detector.safetensors"
    )
    parser.add_argument("--rate", type=float, default=RATE, help="highest learning rate; half of it from --start")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8, help="canvases of 640x384 a step")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--save-s", type=float, default=150.0)
    parser.add_argument("--measure-s", type=float, default=420.0)
    parser.add_argument("--drawn", action="store_true", help="faces drawn from strokes only: needs no font cache")
    args = parser.parse_args()
    args.run.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.FileHandler(args.run / "train.log"), logging.StreamHandler()]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    run = Run(args.run, args.seed)
    photos, held = training_photos(args.data), held_back_photos(args.data)
    if not run.restore() and args.start:
        run.start(args.start)
        log.info("starting from %s", args.start)
    elif run.step:
        log.info("going on at step %d, minute %.1f", run.step, run.elapsed_s / 60)
    log.info("%d photos to train on; held back: %s", len(photos), {name: len(part) for name, part in held.items()})
    train(run, photos, held, args)
    log.info("done at step %d, %d canvases", run.step, run.seen)


if __name__ == "__main__":
    main()
