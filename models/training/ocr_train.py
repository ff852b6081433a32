"""Train the OCR on rendered plates, on one thread, resumably.

python ocr_train.py --minutes 98 --out runs/ocr            # the same line again goes on where it stopped
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import signal
import time
from pathlib import Path
from types import FrameType

import cv2
import numpy as np
import torch
from ocr_io import BLANK, decode, fold, standardise
from ocr_model import STEPS, OcrNet, encode, scaled
from plates import PlateRenderer
from real_crops import RealCrops
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn import functional
from tqdm import tqdm

LR, DECAY, BATCH, WARM_UP, CLIP, EMA = 3e-3, 0.02, 128, 150, 5.0, 0.998
#: Half precision pays only where the processor multiplies it: without it bf16 is ten times slower than float.
HALF = torch.backends.cpu.get_cpu_capability() in ("AVX512_BF16", "AMX") or torch.cpu._is_avx512_bf16_supported()
REAL_SHARE = 0.15
HELD_OUT_SEED, HELD_OUT = 990_001, 2048
log = logging.getLogger("ocr_train")


class Stop:
    """Asks the loop to end after the present step on SIGTERM or SIGINT, so that a checkpoint is written."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


def batch(renderer: PlateRenderer, count: int, real: RealCrops | None = None) -> tuple[torch.Tensor, list[str]]:
    """Make `count` crops, some of them `real`: standardised uint8 [count,1,32,128] and their texts."""
    pairs = [real.crop() for _ in range(round(count * REAL_SHARE))] if real else []
    while len(pairs) < count:
        pairs += renderer.crops()
    crops, texts = zip(*pairs[:count], strict=True)
    return torch.from_numpy(standardise(np.stack(crops)))[:, None], list(texts)


def learning_rate(step: int, done: float, most: float = LR) -> float:
    """Warm up, hold, and fall along a cosine over the last 70 % of the time (`done`: 0–1)."""
    fall = 0.5 * (1 + math.cos(math.pi * max(0.0, min(1.0, (done - 0.3) / 0.7))))
    return most * min(1.0, (step + 1) / WARM_UP) * max(0.004, fall)


def held_out_score(net: OcrNet, images: torch.Tensor, texts: list[str]) -> tuple[float, float]:
    """Return the shares read exactly, as labelled and with O/0 and I/1 folded."""
    net.eval()
    with torch.inference_mode():
        logits = torch.cat(
            [net(scaled(part).contiguous(memory_format=torch.channels_last)) for part in torch.split(images, 256)]
        )
    read = decode(logits.float().numpy())
    exact = sum(a == b for a, b in zip(read, texts, strict=True)) / len(texts)
    folded = sum(fold(a) == fold(b) for a, b in zip(read, texts, strict=True)) / len(texts)
    return exact, folded


class Run:
    """Net, running mean of its weights, optimiser and counters: all that a checkpoint holds."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.net = OcrNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.mean = OcrNet()
        self.mean.load_state_dict(self.net.state_dict())
        matrices = [p for p in self.net.parameters() if p.ndim > 1]
        vectors = [p for p in self.net.parameters() if p.ndim == 1]
        groups = [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=LR)
        self.step, self.seconds = 0, 0.0
        self.curve: list[dict[str, float]] = []

    def start(self, weights: Path) -> None:
        """Begin with the weights of an earlier run."""
        state = {k: v.float() if v.is_floating_point() else v for k, v in load_file(weights).items()}
        if len(state) < len(
            self.net.state_dict()
        ):  # made before the residual block at position 4: it begins as nothing
            state = {
                ".".join([k.split(".")[0], str(int(k.split(".")[1]) + (int(k.split(".")[1]) >= 4)), *k.split(".")[2:]])
                if k.startswith("body")
                else k: v
                for k, v in state.items()
            }
            own = self.net.state_dict()
            own["body.4.second.1.weight"].zero_()
            state = own | state
        self.net.load_state_dict(state)
        self.mean.load_state_dict(state)

    def follow(self) -> None:
        """Let the running mean follow the net by one step."""
        keep = min(EMA, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            now = self.net.state_dict()
            for name, value in self.mean.state_dict().items():
                if value.dtype.is_floating_point:
                    value.lerp_(now[name], 1 - keep)
                else:
                    value.copy_(now[name])

    def save(self, path: Path) -> None:
        """Write one safetensors file, whole or not at all."""
        tensors = {f"net.{k}": v for k, v in self.net.state_dict().items()}
        tensors |= {f"mean.{k}": v for k, v in self.mean.state_dict().items()}
        for index, slot in self.optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{k}": torch.as_tensor(v) for k, v in slot.items()}
        facts = {"seed": self.seed, "step": self.step, "seconds": self.seconds, "curve": self.curve}
        part = path.with_suffix(".part")
        save_file({k: v.contiguous().clone() for k, v in tensors.items()}, part, {"facts": json.dumps(facts)})
        part.replace(path)

    def load(self, path: Path) -> None:
        """Go on from a file that `save` wrote."""
        with safe_open(path, "pt") as file:
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 – not a dict
            facts = json.loads(file.metadata()["facts"])
        self.net.load_state_dict({k[4:]: v for k, v in tensors.items() if k.startswith("net.")})
        self.mean.load_state_dict({k[5:]: v for k, v in tensors.items() if k.startswith("mean.")})
        slots: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("adam."):
                _, index, name = key.split(".", 2)
                slots.setdefault(int(index), {})[name] = value
        whole = self.optimiser.state_dict()
        whole["state"] = slots
        self.optimiser.load_state_dict(whole)
        self.step, self.seconds, self.curve = facts["step"], facts["seconds"], facts["curve"]


def train(
    run: Run, renderer: PlateRenderer, real: RealCrops | None, minutes: float, out: Path, every_s: float, most: float
) -> None:
    """Train until `minutes` in all are used; checkpoint and score every `every_s` seconds."""
    stop = Stop()
    held_renderer = PlateRenderer(np.random.default_rng(HELD_OUT_SEED))
    held, held_texts = batch(held_renderer, HELD_OUT)
    bar = tqdm(
        total=minutes,
        initial=run.seconds / 60,
        unit="min",
        mininterval=10,
        bar_format="{l_bar}{bar}|{n:.1f}/{total} {postfix}",
    )
    last = mark = time.monotonic()
    losses: list[float] = []
    steps_of = torch.full((BATCH,), STEPS, dtype=torch.long)
    while run.seconds < minutes * 60 and not stop.asked:
        run.net.train()
        images, texts = batch(renderer, BATCH, real)
        rate = learning_rate(run.step, run.seconds / (minutes * 60), most)
        for group in run.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16, enabled=HALF):
            logits = run.net(scaled(images).contiguous(memory_format=torch.channels_last))
        chances = functional.log_softmax(logits.float(), -1).transpose(0, 1)
        targets, lengths = encode(texts)
        loss = functional.ctc_loss(chances, targets, steps_of, lengths, BLANK, zero_infinity=True)
        run.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(run.net.parameters(), CLIP)
        run.optimiser.step()
        run.step += 1
        run.follow()
        losses.append(float(loss.detach()))
        now = time.monotonic()
        run.seconds, last = run.seconds + now - last, now
        bar.n = round(run.seconds / 60, 2)
        bar.set_postfix(plates=run.step * BATCH, loss=f"{np.mean(losses[-50:]):.3f}", refresh=False)
        bar.update(0)
        if now - mark > every_s or run.seconds >= minutes * 60 or stop.asked:
            mark = now
            exact, folded = held_out_score(run.mean, held, held_texts)
            point = {
                "plates": run.step * BATCH,
                "minutes": round(run.seconds / 60, 1),
                "loss": round(float(np.mean(losses)), 4),
            }
            run.curve.append(point | {"held_out_exact": round(exact, 4), "held_out_folded": round(folded, 4)})
            losses.clear()
            log.info("%s", json.dumps(run.curve[-1] | {"lr": round(rate, 6)}))
            run.save(out / "checkpoint.safetensors")
            (out / "curve.json").write_text(json.dumps(run.curve, indent=1) + "\n")
    bar.close()


def main() -> None:
    """Parse the command line, resume if there is something to resume, and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=98, help="training time in all, resumed runs included")
    parser.add_argument("--data", type=Path, help="the photo sets; with them, rows that labeller.py read are mixed in")
    parser.add_argument("--labels", type=Path, default=Path(__file__).parent / "runs/labels.jsonl")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "runs/ocr")
    parser.add_argument("--threads", type=int, default=1, help="more than one is slower on a shared machine")
    parser.add_argument("--start", type=Path, help="weights of an earlier run to begin with: weights/ocr.safetensors")
    parser.add_argument("--rate", type=float, default=LR, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faces", choices=("all", "drawn"), default="all")
    parser.add_argument("--checkpoint-s", type=float, default=150)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.FileHandler(args.out / "train.log"), logging.StreamHandler()]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    torch.manual_seed(args.seed)
    run = Run(args.seed)
    checkpoint = args.out / "checkpoint.safetensors"
    if checkpoint.exists():
        run.load(checkpoint)
        log.info("resumed at step %d, %.1f min", run.step, run.seconds / 60)
    elif args.start:
        run.start(args.start)
        log.info("starting from %s", args.start)
    # a resumed run must not see the plates of its beginning again
    renderer = PlateRenderer(np.random.default_rng((args.seed, run.step)), "drawn" if args.faces == "drawn" else None)
    real = RealCrops.of(args.data, args.labels, np.random.default_rng((args.seed, run.step, 1))) if args.data else None
    log.info("%d rows of real plates", len(real) if real else 0)
    train(run, renderer, real, args.minutes, args.out, args.checkpoint_s, args.rate)


if __name__ == "__main__":
    main()
