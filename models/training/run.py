"""What both trainings share: weights and their running mean, optimiser, schedule, checkpoints and the curve.

A run can be stopped at any time (Ctrl-C or SIGTERM write a checkpoint) and the same command goes on. Its folder holds
checkpoint.safetensors, curve.json, curve.png and train.log.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import cv2
import torch
from draw import draw_curve
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from tqdm import tqdm

CLIP, MEAN_KEEPS, WARM_UP, FLAT_SHARE, LAST_SHARE = 5.0, 0.998, 150, 0.25, 0.01
#: Half precision pays only where the processor multiplies it: without that, bf16 is ten times slower than float.
HALF = any(flag in Path("/proc/cpuinfo").read_text() for flag in ("avx512_bf16", "amx_bf16"))
Step = Callable[[], tuple[Tensor, dict[str, float], int]]
log = logging.getLogger("train")


def arguments(description: str | None, name: str, minutes: float) -> argparse.ArgumentParser:
    """The command line that both trainings have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).parent
    parser.add_argument("--data", type=Path, help="folder with openimages_plates, ro_dashcam, pl_photos")
    parser.add_argument("--minutes", type=float, default=minutes, help="training time in all, resumed runs included")
    parser.add_argument("--run", type=Path, default=here / "runs" / name, help="folder of the run")
    parser.add_argument("--start", type=Path, help=f"begin with these weights: weights/{name}.safetensors")
    parser.add_argument("--rate", type=float, help="highest learning rate; from --start, half of the usual one")
    parser.add_argument("--threads", type=int, default=1, help="more than one is slower on a shared machine")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save-s", type=float, default=150.0, help="seconds between checkpoints")
    parser.add_argument("--drawn", action="store_true", help="faces drawn from strokes only: needs no font cache")
    return parser


def prepare(args: argparse.Namespace) -> None:
    """Make the run's folder, its log, and as many threads as were asked for."""
    args.run.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.FileHandler(args.run / "train.log"), logging.StreamHandler()]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    torch.manual_seed(args.seed)


class Run:
    """Net, running mean of its weights, optimiser and counters: all that a checkpoint holds.

    ``counters``: numbers of the training's own that are kept with the checkpoint.
    """

    def __init__(self, make: Callable[[], nn.Module], args: argparse.Namespace, rate: float, decay: float) -> None:
        self._make, self._folder, self._budget_s = make, args.run, args.minutes * 60
        self._most = args.rate or (rate / 2 if args.start else rate)
        self.net = make().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        matrices = [p for p in self.net.parameters() if p.ndim > 1]
        vectors = [p for p in self.net.parameters() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
        self._optimiser = torch.optim.AdamW(groups, lr=self._most)
        self._mean = {name: value.detach().clone() for name, value in self.net.state_dict().items()}
        self.step, self.seen, self.seconds = 0, 0, 0.0
        self.before: dict[str, Any] = {}
        self.counters: dict[str, int] = {}
        self.curve: list[dict[str, float]] = []
        self._sums: dict[str, list[float]] = {}
        self._stop = False
        self._last = time.monotonic()
        if self._restore():
            log.info("going on at step %d, minute %.1f", self.step, self.seconds / 60)
        elif args.start:
            self._start(args.start)
            log.info("starting from %s", args.start)

    @property
    def share(self) -> float:
        """How much of the time is used, 0 to 1."""
        return self.seconds / self._budget_s if self._budget_s else 1.0

    def loop(self, step: Step, measure: Callable[[], dict[str, float]], save_s: float) -> None:
        """Train until the time is used up or somebody stops it. ``step``: loss, its parts, pictures seen."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)
        saved = self._last = time.monotonic()
        bar = tqdm(total=round(self._budget_s), initial=round(self.seconds), unit="s", mininterval=10)
        while self.share < 1 and not self._stop:
            self.net.train()
            for group in self._optimiser.param_groups:
                group["lr"] = self._most * rate_at(self.share, self.step)
            total, parts, seen = step()
            self._optimiser.zero_grad(set_to_none=True)
            total.backward()  # type: ignore[no-untyped-call]
            clip_grad_norm_(self.net.parameters(), CLIP)
            self._optimiser.step()
            self._follow()
            self.step, self.seen = self.step + 1, self.seen + seen
            for name, value in parts.items():
                self._sums.setdefault(name, []).append(value)
            now = time.monotonic()
            self.seconds, self._last = self.seconds + now - self._last, now
            bar.update(round(self.seconds) - bar.n)
            if now - saved > save_s or self.share >= 1 or self._stop:
                self._record(measure())
                self.save()
                saved = time.monotonic()
                self.pause()
        bar.close()

    def pause(self) -> None:
        """What was done since the last step is no training time."""
        self._last = time.monotonic()

    def averaged(self) -> nn.Module:
        """The running mean as a network for inference."""
        net = self._make()
        net.load_state_dict(self._mean)
        return net.eval()

    def save(self) -> None:
        """Write the checkpoint, whole or not at all, and the curve."""
        tensors: dict[str, Tensor] = {f"net.{k}": v for k, v in self.net.state_dict().items()}
        tensors |= {f"mean.{k}": v for k, v in self._mean.items()}
        for index, state in self._optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
        facts = {name: getattr(self, name) for name in ("step", "seen", "seconds", "counters", "before", "curve")}
        part = self._folder / "checkpoint.part"
        save_file({k: v.contiguous().clone() for k, v in tensors.items()}, part, {"facts": json.dumps(facts)})
        part.replace(self._folder / "checkpoint.safetensors")
        (self._folder / "curve.json").write_text(json.dumps(self.curve, indent=1) + "\n")
        draw_curve(self.curve, self._folder / "curve.png", "seen", self._folder.name)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._stop = True

    def _follow(self) -> None:
        keep = min(MEAN_KEEPS, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.net.state_dict().items():
                if value.dtype.is_floating_point:
                    self._mean[name].lerp_(value, 1 - keep)
                else:
                    self._mean[name].copy_(value)

    def _record(self, measured: dict[str, float]) -> None:
        point = {"seen": float(self.seen), "minutes": round(self.seconds / 60, 1)}
        point |= {name: round(sum(values) / len(values), 4) for name, values in self._sums.items()}
        self._sums.clear()
        self.curve.append(point | {name: round(value, 4) for name, value in measured.items()})
        log.info("%s", json.dumps(self.curve[-1]))

    def _start(self, weights: Path) -> None:
        state, self.before = read_weights(weights)
        self.net.load_state_dict(state)
        self._mean = {name: value.detach().clone() for name, value in self.net.state_dict().items()}

    def _restore(self) -> bool:
        path = self._folder / "checkpoint.safetensors"
        if not path.exists():
            return False
        slots: dict[int, dict[str, Tensor]] = {}
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            self.net.load_state_dict({n[4:]: file.get_tensor(n) for n in names if n.startswith("net.")})
            self._mean = {n[5:]: file.get_tensor(n) for n in names if n.startswith("mean.")}
            for name in names:
                if name.startswith("adam."):
                    _, index, key = name.split(".", 2)
                    slots.setdefault(int(index), {})[key] = file.get_tensor(name)
            for name, value in json.loads(file.metadata()["facts"]).items():
                setattr(self, name, value)
        self._optimiser.load_state_dict(self._optimiser.state_dict() | {"state": slots})
        return True


def rate_at(share: float, step: int) -> float:
    """Learning rate, 0 to 1, after ``share`` of the time: warm-up by steps, flat, then a cosine down."""
    warm = min(1.0, (step + 1) / WARM_UP)
    fall = 0.5 * (1 + math.cos(math.pi * max(0.0, min(1.0, (share - FLAT_SHARE) / (1 - FLAT_SHARE)))))
    return warm * (LAST_SHARE + (1 - LAST_SHARE) * fall)


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights of a weights file, or the running mean in a checkpoint, in single precision; and its facts."""
    with safe_open(path, "pt") as file:
        names = list(file.keys())
        kept = [name for name in names if name.startswith("mean.")] or names
        state = {name.removeprefix("mean."): file.get_tensor(name) for name in kept}
        facts: dict[str, Any] = json.loads((file.metadata() or {}).get("facts", "{}"))
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}, facts


def write_weights(net: nn.Module, path: Path, facts: dict[str, Any]) -> None:
    """Write weights in half precision, which costs nothing measurable, with the facts of their training."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = {k: v.half() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    save_file({k: v.contiguous() for k, v in half.items()}, path, {"facts": json.dumps(facts)})
    path.chmod(0o644)  # the library writes for the owner alone


def training_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """What the card says about training: of a checkpoint, its counters with those it started from added."""
    if "step" not in facts:
        return facts
    before = training_facts(facts["before"])
    return {
        "samples": facts["seen"] + before.get("samples", 0),
        "minutes": round(facts["seconds"] / 60 + before.get("minutes", 0.0), 1),
        "machine": "one of two shared x86 cores; the other trained the other model",
        "last_run": {"samples": facts["seen"], "minutes": round(facts["seconds"] / 60, 1)},
    }
