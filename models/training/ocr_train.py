"""Train the OCR on rendered plates, and with --data on rows of real ones that labeller.py read; resumably.

python ocr_train.py --data DATA --minutes 98            # the same line again goes on where it stopped
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from ocr_io import BLANK, decode, fold, standardise
from ocr_model import STEPS, OcrNet, encode, scaled
from plates import PlateRenderer
from real_crops import RealCrops
from run import HALF, Run, arguments, log, prepare
from torch.nn import functional

RATE, DECAY, BATCH, REAL_SHARE = 3e-3, 0.02, 128, 0.15
HELD_OUT_SEED, HELD_OUT = 990_001, 2048
#: Loss per character, in nats, above which a row is hopeless: smeared or dark past reading, or labelled wrongly. Such
#: rows are a tenth of all and were 58 % of the loss; a small network has no room to learn them by heart.
HOPELESS = 1.8


def batch(renderer: PlateRenderer, count: int, real: RealCrops | None = None) -> tuple[torch.Tensor, list[str]]:
    """Make `count` crops, some of them `real`: standardised uint8 [count,1,32,128] and their texts."""
    pairs = [real.crop() for _ in range(round(count * REAL_SHARE))] if real else []
    while len(pairs) < count:
        pairs += renderer.crops()
    crops, texts = zip(*pairs[:count], strict=True)
    return torch.from_numpy(standardise(np.stack(crops)))[:, None], list(texts)


def legible(per_character: torch.Tensor) -> torch.Tensor:
    """Mean loss of the rows that are not hopeless, once the network can read: before that everything looks hopeless."""
    known = per_character.detach()
    if float(known.median()) > HOPELESS / 4:
        return per_character.mean()
    return per_character[known < HOPELESS].mean()


def held_out_score(net: torch.nn.Module, images: torch.Tensor, texts: list[str]) -> dict[str, float]:
    """Return the shares read exactly, as labelled and with O/0 and I/1 folded."""
    net.eval()
    with torch.inference_mode():
        logits = torch.cat(
            [net(scaled(part).contiguous(memory_format=torch.channels_last)) for part in torch.split(images, 256)]
        )
    read = decode(logits.float().numpy())
    exact = sum(a == b for a, b in zip(read, texts, strict=True)) / len(texts)
    folded = sum(fold(a) == fold(b) for a, b in zip(read, texts, strict=True)) / len(texts)
    return {"held_out_exact": exact, "held_out_folded": folded}


def main() -> None:
    """Parse the command line, resume if there is something to resume, and train."""
    parser = arguments(__doc__, "ocr", minutes=98)
    parser.add_argument("--labels", type=Path, default=Path(__file__).parent / "runs/labels.jsonl")
    args = parser.parse_args()
    prepare(args)
    run = Run(OcrNet, args, RATE, DECAY)
    faces: Literal["drawn"] | None = "drawn" if args.drawn else None
    # a resumed run must not see the plates of its beginning again
    renderer = PlateRenderer(np.random.default_rng((args.seed, run.step)), faces)
    real = RealCrops.of(args.data, args.labels, np.random.default_rng((args.seed, run.step, 1))) if args.data else None
    log.info("%d rows of real plates", len(real) if real else 0)
    held, held_texts = batch(PlateRenderer(np.random.default_rng(HELD_OUT_SEED), faces), HELD_OUT)
    steps_of = torch.full((BATCH,), STEPS, dtype=torch.long)

    def step() -> tuple[torch.Tensor, dict[str, float], int]:
        images, texts = batch(renderer, BATCH, real)
        with torch.autocast("cpu", torch.bfloat16, enabled=HALF):
            logits = run.net(scaled(images).contiguous(memory_format=torch.channels_last))
        chances = functional.log_softmax(logits.float(), -1).transpose(0, 1)
        targets, lengths = encode(texts)
        each = functional.ctc_loss(chances, targets, steps_of, lengths, BLANK, "none", zero_infinity=True)
        loss = legible(each / lengths.clamp(min=1))
        return loss, {"loss": float(loss.detach())}, BATCH

    run.loop(step, lambda: held_out_score(run.averaged(), held, held_texts), args.save_s)


if __name__ == "__main__":
    main()
