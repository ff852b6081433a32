"""What each cell of the detector should say, and what it costs to say otherwise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from detector_model import STRIDE
from scenes import Scene
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - everybody's name for it

POSITIVE_SHARE, POSITIVE_LEAST_PX, POSITIVE_CELLS = 0.28, 5.7, 10


@dataclass(slots=True)
class Targets:
    """Targets of a batch; `cell` [p] indexes the flattened N·h·w cells that are positive.

    `counts` [N·h·w] is 0 where nothing is asked, `box` [p,4] x1 y1 x2 y2, `quad` [p,8], `corner` [p] weights.
    """

    counts: Tensor
    cell: Tensor
    centre: Tensor
    box: Tensor
    quad: Tensor
    corner: Tensor


def assign(scenes: list[Scene]) -> Targets:
    """Give each plate the cells nearest its middle, ten at most; where plates compete the smaller wins."""
    height, width = (side // STRIDE for side in scenes[0].image.shape)
    ys, xs = np.mgrid[:height, :width]
    centre = (np.stack([xs, ys], axis=-1).reshape(-1, 2) + 0.5) * STRIDE
    counts = np.ones((len(scenes), height * width), np.float32)
    owner = np.full((len(scenes), height * width), -1)
    for picture, scene in enumerate(scenes):
        size = scene.boxes[:, 2:] - scene.boxes[:, :2]
        for plate in np.argsort(-size.prod(axis=1)):
            low, high = scene.boxes[plate, :2], scene.boxes[plate, 2:]
            inside = ((centre >= low - 2) & (centre <= high + 2)).all(axis=1)
            counts[picture, inside] = 0
            if not scene.use[plate]:
                owner[picture, inside] = -1
                continue
            away = np.abs(centre - (low + high) / 2)
            near = (away <= np.maximum(POSITIVE_SHARE * size[plate], POSITIVE_LEAST_PX)).all(axis=1)
            cells = np.flatnonzero(near)
            cells = cells[np.argsort((away[cells] ** 2).sum(axis=1), kind="stable")][:POSITIVE_CELLS]
            owner[picture, inside] = -1
            owner[picture, cells] = plate
            counts[picture, cells] = 1
    pictures, cells = np.nonzero(owner >= 0)
    plates = owner[pictures, cells]

    def gather(name: str, width: int) -> Tensor:
        rows = [getattr(scenes[i], name)[j] for i, j in zip(pictures, plates, strict=True)]
        return torch.from_numpy(np.asarray(rows, np.float32).reshape(-1, width))

    return Targets(
        torch.from_numpy(counts.reshape(-1)),
        torch.from_numpy(pictures * height * width + cells),
        torch.from_numpy(centre[cells].astype(np.float32)),
        gather("boxes", 4),
        gather("quads", 8),
        gather("corner", 1)[:, 0],
    )


def boxes_of(centre: Tensor, box: Tensor) -> Tensor:
    """Boxes x1 y1 x2 y2 [p,4] from cell centres [p,2] and logs [p,4]."""
    reach = STRIDE * box.exp()
    return torch.cat([centre - reach[:, :2], centre + reach[:, 2:]], dim=1)


def corners_of(centre: Tensor, quad: Tensor) -> Tensor:
    """Corners [p,8] from cell centres [p,2] and offsets [p,8]."""
    return centre.repeat(1, 4) + STRIDE * quad.sign() * torch.expm1(quad.abs())


def overlaps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of boxes [p,4] pair by pair."""
    inter = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - inter
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    iou = inter / union.clamp(min=1e-6)
    return iou, iou - (hull - union) / hull.clamp(min=1e-6)


def loss(outputs: tuple[Tensor, Tensor, Tensor], targets: Targets) -> tuple[Tensor, dict[str, float]]:
    """Quality focal loss on the score, GIoU on the box, L1 by plate width on the corners; and each."""
    score, box, quad = (o.permute(0, 2, 3, 1).reshape(-1, o.shape[1]) for o in outputs)
    logits = score[:, 0]
    asked = torch.zeros_like(logits)
    positives = max(1, len(targets.cell))
    box_loss = corner_loss = logits.sum() * 0
    if len(targets.cell):
        iou, giou = overlaps(boxes_of(targets.centre, box[targets.cell]), targets.box)
        asked[targets.cell] = iou.detach().clamp(0, 1)
        box_loss = (1 - giou).sum() / positives
        wide = (targets.box[:, 2] - targets.box[:, 0]) / 2 + 8
        miss = (corners_of(targets.centre, quad[targets.cell]) - targets.quad).abs().mean(1) / wide
        corner_loss = (miss * targets.corner).sum() / positives
    focal = (logits.sigmoid() - asked).detach().abs() ** 2
    entropy = F.binary_cross_entropy_with_logits(logits, asked, reduction="none")
    score_loss = (focal * entropy * targets.counts).sum() / positives
    total = 1.5 * score_loss + 1.5 * box_loss + 6.0 * corner_loss
    parts = {"score": score_loss, "box": box_loss, "corner": corner_loss}
    return total, {name: float(part.detach()) for name, part in parts.items()}
