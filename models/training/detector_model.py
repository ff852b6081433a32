"""The plate detector: a small plain-convolution network, its shapes, and the reference decoder.

One output at stride 8. `score` is the chance that a cell is the middle of a plate, `box` has the logs of the
ways to the four sides, `quad` the signed logs of the way to the four corners. Kernels stay at 3x3 and no
convolution is depthwise: that is what lets int8 run twice as fast as float on a single core.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - everybody's name for it

STRIDE = 8
#: The padding value; normalisation maps it to zero, so that a padded border looks like a convolution's own.
PAD = 114
SCALE = 58.0
#: Largest logs the heads may give: 8·e^4.9 = 1074 px, wider than any input, and exp() cannot overflow.
LOG_MAX = 4.9

FloatArray = npt.NDArray[np.float32]


def _conv(cin: int, cout: int, stride: int = 1, dilation: int = 1, kernel: int = 3) -> nn.Sequential:
    """Convolution, batch norm, ReLU; `same` padding."""
    pad = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(cin, cout, kernel, stride, pad, dilation, bias=False),
        nn.BatchNorm2d(cout),
        nn.ReLU(inplace=True),
    )


class Res(nn.Module):
    """Residual block: 3x3 down to `mid` channels, 3x3 back, added before the ReLU."""

    def __init__(self, channels: int, mid: int, dilation: int = 1) -> None:
        super().__init__()
        self.a = _conv(channels, mid, dilation=dilation)
        self.b = nn.Sequential(nn.Conv2d(mid, channels, 3, 1, dilation, dilation, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Features in, features of the same shape out."""
        return F.relu(x + self.b(self.a(x)))


class Detector(nn.Module):
    """Gray plates detector; forward takes uint8 or float [N,1,H,W] in 0..255, H and W multiples of 32.

    The blocks at stride 32 are dilated 1, 2, 3: without that the field of view ends at about 480 px, and
    a plate wider than 300 px is found as two halves.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(1, 12, 2)
        self.down4 = _conv(12, 20, 2)
        self.down8 = nn.Sequential(_conv(20, 40, 2), Res(40, 16))
        self.down16 = nn.Sequential(_conv(40, 64, 2), Res(64, 32), Res(64, 32))
        self.down32 = nn.Sequential(_conv(64, 96, 2), Res(96, 48), Res(96, 48, 2), Res(96, 48, 3))
        self.up16 = nn.Sequential(nn.Conv2d(96, 64, 1, bias=False), nn.BatchNorm2d(64))
        self.up8 = nn.Sequential(nn.Conv2d(64, 40, 1, bias=False), nn.BatchNorm2d(40))
        self.neck = _conv(40, 32)
        self.score = nn.Conv2d(32, 1, 1)
        self.box = nn.Conv2d(32, 4, 1)
        self.quad = nn.Conv2d(32, 8, 1)
        self._start()

    def _start(self) -> None:
        """Start as a detector that expects few plates, each about 100 px wide."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        for head in (self.score, self.box, self.quad):
            nn.init.normal_(head.weight, std=0.01)
        for block in self.modules():
            if isinstance(block, Res):
                next(block.b[1].parameters()).data.fill_(0.2)
        starts = {self.score: [-4.6], self.box: [1.8, 0.7, 1.8, 0.7]}
        starts[self.quad] = [-1.9, -1.0, 1.9, -1.0, 1.9, 1.0, -1.9, 1.0]
        for head, start in starts.items():
            assert head.bias is not None
            head.bias.data.copy_(torch.tensor(start))

    def features(self, image: Tensor) -> Tensor:
        """Features at stride 8, [N,32,H/8,W/8]."""
        return self.after(self.stem((image.float() - PAD) * (1.0 / SCALE)))

    def after(self, stem: Tensor) -> Tensor:
        """The same from what the first convolution gives."""
        c8 = self.down8(self.down4(stem))
        c16 = self.down16(c8)
        c32 = self.down32(c16)
        p16 = F.relu(c16 + F.interpolate(self.up16(c32), scale_factor=2.0, mode="nearest"))
        p8 = F.relu(c8 + F.interpolate(self.up8(p16), scale_factor=2.0, mode="nearest"))
        return self.neck(p8)  # type: ignore[no-any-return]

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Score logits [N,1,h,w], box logs [N,4,h,w], quad offsets [N,8,h,w], h = H/8, w = W/8."""
        x = self.features(image)
        return (
            self.score(x).float(),
            self.box(x).float().clamp(-LOG_MAX, LOG_MAX),
            self.quad(x).float().clamp(-LOG_MAX, LOG_MAX),
        )


class Exported(nn.Module):
    """The network as it ships: uint8 in, its heads as one output, [N,13,h,w]: score logit, box logs, quad offsets.

    The normalisation stands in the first convolution's weights. What was padded with its zero is padded with PAD.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector
        first, norm, relu = detector.stem
        assert isinstance(first, nn.Conv2d)
        raw = nn.Conv2d(1, first.out_channels, 3, 2)
        with torch.no_grad():
            raw.weight.copy_(first.weight / SCALE)
            assert raw.bias is not None
            raw.bias.copy_(-PAD * raw.weight.sum((1, 2, 3)))
        self.stem = nn.Sequential(raw, norm, relu)
        parts = (detector.score, detector.box, detector.quad)
        self.heads = nn.Conv2d(parts[0].in_channels, sum(part.out_channels for part in parts), 1)
        with torch.no_grad():
            self.heads.weight.copy_(torch.cat([part.weight for part in parts]))
            assert self.heads.bias is not None
            self.heads.bias.copy_(torch.cat([part.bias for part in parts if part.bias is not None]))

    def forward(self, image: Tensor) -> Tensor:  # noqa: D102
        stem = self.stem(F.pad(image, (1, 1, 1, 1), value=PAD).float())
        return self.heads(self.detector.after(stem))  # type: ignore[no-any-return]


def macs(height: int, width: int) -> int:
    """Multiply-accumulates of one forward pass on a height x width picture."""
    total = 0

    def count(module: nn.Module, _: object, out: Tensor) -> None:
        nonlocal total
        assert isinstance(module, nn.Conv2d)
        total += out.shape[2] * out.shape[3] * module.weight.numel()

    net = Detector().eval()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        net(torch.zeros(1, 1, height, width))
    return total


class Decoded(NamedTuple):
    """Plates in input pixels, best first: boxes [n,4] as x1 y1 x2 y2, quads [n,4,2], scores [n]."""

    boxes: FloatArray
    quads: FloatArray
    scores: FloatArray


def _iou_with(box: FloatArray, boxes: FloatArray) -> FloatArray:
    """IoU of one box [4] with boxes [n,4]."""
    left_top = np.maximum(box[:2], boxes[:, :2])
    right_bottom = np.minimum(box[2:], boxes[:, 2:])
    inter = np.prod(np.clip(right_bottom - left_top, 0, None), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    area = float(np.prod(box[2:] - box[:2]))
    return np.asarray(inter / np.maximum(areas + area - inter, 1e-6), dtype=np.float32)


def decode(score: FloatArray, box: FloatArray, quad: FloatArray, threshold: float = 0.3, limit: int = 100) -> Decoded:
    """Decode one picture's outputs: score [1,h,w] after the sigmoid, box [4,h,w], quad [8,h,w].

    From the best cell down: the cells above half the threshold whose boxes overlap it by more than .6 are one
    plate, and their score²-weighted mean is its box and quad. What overlaps it by more than .4 is no other.
    """
    flat = score.reshape(-1)
    cells = np.flatnonzero(flat >= threshold * 0.5)
    cells = cells[np.argsort(-flat[cells], kind="stable")][: limit * 10]
    scores = flat[cells]
    rows, columns = np.divmod(cells, score.shape[-1])
    centre = (np.stack([columns, rows], axis=1).astype(np.float32) + 0.5) * STRIDE
    reach = STRIDE * np.exp(np.clip(box.reshape(4, -1)[:, cells].T, -LOG_MAX, LOG_MAX))
    boxes = np.concatenate([centre - reach[:, :2], centre + reach[:, 2:]], axis=1).astype(np.float32)
    offset = np.clip(quad.reshape(8, -1)[:, cells].T, -LOG_MAX, LOG_MAX)
    way = STRIDE * np.sign(offset) * np.expm1(np.abs(offset))
    quads = (centre[:, None, :] + way.reshape(-1, 4, 2)).astype(np.float32)
    free = np.ones(len(cells), dtype=bool)
    found: list[tuple[FloatArray, FloatArray, float]] = []
    for best in range(len(cells)):
        if not free[best]:
            continue
        if scores[best] < threshold or len(found) == limit:
            break
        overlap = _iou_with(boxes[best], boxes)
        mine = free & (overlap > 0.6)
        weight = scores[mine] ** 2
        weight = weight / weight.sum()
        found.append((weight @ boxes[mine], np.tensordot(weight, quads[mine], 1), float(scores[best])))
        free &= overlap <= 0.4
    if not found:
        return Decoded(np.zeros((0, 4), np.float32), np.zeros((0, 4, 2), np.float32), np.zeros(0, np.float32))
    return Decoded(
        np.stack([f[0] for f in found]),
        np.stack([f[1] for f in found]),
        np.array([f[2] for f in found], np.float32),
    )
