"""The OCR network: plain convolutions from a grey 32×128 crop to 32 CTC steps of 37 classes."""

from __future__ import annotations

import copy

import torch
from ocr_io import ALPHABET, MEAN, TARGET_STD
from torch import nn

STEPS, CLASSES = 32, 1 + len(ALPHABET)


def _unit(
    cin: int, cout: int, kernel: tuple[int, int], stride: tuple[int, int] = (1, 1), pad: bool = True
) -> nn.Sequential:
    padding = (kernel[0] // 2, kernel[1] // 2) if pad else (0, 0)
    return nn.Sequential(nn.Conv2d(cin, cout, kernel, stride, padding, bias=False), nn.BatchNorm2d(cout), nn.ReLU())


class Residual(nn.Module):
    """Two 3×3 convolutions beside the identity, the first down to `mid` channels."""

    def __init__(self, channels: int, mid: int) -> None:
        super().__init__()
        self.first = _unit(channels, mid, (3, 3))
        self.second = nn.Sequential(nn.Conv2d(mid, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # noqa: D102
        return torch.relu(x + self.second(self.first(x)))


class OcrNet(nn.Module):
    """Map float [N,1,32,128], zero mean and about unit contrast, to logits [N,32,37]."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _unit(1, 16, (5, 5), (2, 2)),
            _unit(16, 16, (3, 3)),
            _unit(16, 48, (3, 3), (2, 2)),
            _unit(48, 48, (3, 3)),
            Residual(48, 48),
            _unit(48, 80, (3, 3), (2, 1)),
            Residual(80, 80),
            Residual(80, 36),
            _unit(80, 128, (4, 1), pad=False),
            _unit(128, 128, (1, 5)),
            _unit(128, 128, (1, 5)),
        )
        self.head = nn.Conv2d(128, CLASSES, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # noqa: D102
        logits: torch.Tensor = self.head(self.body(x)).squeeze(2).transpose(1, 2)
        return logits


class DeployNet(nn.Module):
    """The same net as the unit runs it: standardised uint8 [N,1,32,128] in, `logits` float [N,32,37] out."""

    def __init__(self, net: OcrNet, temperature: float = 1.0) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).eval()
        first = self.net.body[0][0]  # type: ignore[index]
        with torch.no_grad():
            first.weight.mul_(1 / TARGET_STD)  # one node less in the graph
            for value in self.net.head.parameters():
                value.mul_(1 / temperature)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # noqa: D102
        return self.net(x.float() - MEAN)  # type: ignore[no-any-return]


def scaled(x: torch.Tensor) -> torch.Tensor:
    """Turn standardised uint8 into the float the net is trained on."""
    return (x.float() - MEAN) * (1 / TARGET_STD)


def encode(texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the class indices of all texts in one row, and their lengths, as CTC wants them."""
    flat = [ALPHABET.index(c) + 1 for text in texts for c in text]
    return torch.tensor(flat, dtype=torch.long), torch.tensor([len(t) for t in texts], dtype=torch.long)
