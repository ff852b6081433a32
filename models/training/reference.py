"""Both networks in numpy, straight from the float weights: what int8 is compared with where there is no torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from ocr_io import MEAN, TARGET_STD
from safetensors.numpy import load_file

F32 = npt.NDArray[np.float32]
Weights = dict[str, F32]
_PAD, _SCALE = 114.0, 58.0  # the detector's normalisation, as in detector_model.py
_EPSILON = 1e-5
_OCR_LAYERS = (
    ("unit", (2, 2)), ("unit", (1, 1)), ("unit", (2, 2)), ("unit", (1, 1)), ("residual", (1, 1)),
    ("unit", (2, 1)), ("residual", (1, 1)), ("residual", (1, 1)), ("valid", (1, 1)), ("unit", (1, 1)), ("unit", (1, 1)),
)  # fmt: skip


def load(name: str) -> Weights:
    """The float weights of `detector` or `ocr`."""
    path = Path(__file__).parent / "weights" / f"{name}.safetensors"
    return {key: value.astype(np.float32) for key, value in load_file(path).items()}


def ocr(weights: Weights, crops: npt.NDArray[np.uint8]) -> F32:
    """Logits [N,32,37] of standardised crops [N,32,128]."""
    x = (crops[:, None].astype(np.float32) - np.float32(MEAN)) / np.float32(TARGET_STD)
    for index, (kind, stride) in enumerate(_OCR_LAYERS):
        name = f"body.{index}"
        if kind == "residual":
            inner = _relu(_unit(weights, f"{name}.first", x))
            x = _relu(x + _unit(weights, f"{name}.second", inner))
        else:
            x = _relu(_unit(weights, name, x, stride, pad=kind == "unit"))
    x = _conv(x, weights["head.weight"]) + weights["head.bias"][None, :, None, None]
    return np.asarray(x[:, :, 0].transpose(0, 2, 1), np.float32)


def detector(weights: Weights, picture: npt.NDArray[np.uint8]) -> F32:
    """Heads [13,h,w] of a picture [H,W] whose sides are multiples of 32: score logit, box logs, quad offsets."""
    x = (picture[None, None].astype(np.float32) - np.float32(_PAD)) / np.float32(_SCALE)
    x = _relu(_unit(weights, "stem", x, (2, 2)))
    x = _relu(_unit(weights, "down4", x, (2, 2)))
    c8 = _stage(weights, "down8", x, (1,))
    c16 = _stage(weights, "down16", c8, (1, 1))
    c32 = _stage(weights, "down32", c16, (1, 2, 3))
    p16 = _relu(c16 + _twice(_unit(weights, "up16", c32)))
    p8 = _relu(c8 + _twice(_unit(weights, "up8", p16)))
    x = _relu(_unit(weights, "neck", p8))
    heads = [
        (_conv(x, weights[f"{head}.weight"]) + weights[f"{head}.bias"][None, :, None, None])[0]
        for head in ("score", "box", "quad")
    ]
    return np.concatenate(heads)


def _stage(weights: Weights, name: str, x: F32, dilations: tuple[int, ...]) -> F32:
    x = _relu(_unit(weights, f"{name}.0", x, (2, 2)))
    for index, dilation in enumerate(dilations, 1):
        inner = _relu(_unit(weights, f"{name}.{index}.a", x, dilation=dilation))
        x = _relu(x + _unit(weights, f"{name}.{index}.b", inner, dilation=dilation))
    return x


def _unit(
    weights: Weights, name: str, x: F32, stride: tuple[int, int] = (1, 1), *, dilation: int = 1, pad: bool = True
) -> F32:
    """A convolution and the batch norm behind it."""
    scale = weights[f"{name}.1.weight"] / np.sqrt(weights[f"{name}.1.running_var"] + _EPSILON)
    shift = weights[f"{name}.1.bias"] - weights[f"{name}.1.running_mean"] * scale
    kernel = weights[f"{name}.0.weight"] * scale[:, None, None, None]
    return np.asarray(_conv(x, kernel, stride, dilation, pad=pad) + shift[None, :, None, None], np.float32)


def _conv(x: F32, kernel: F32, stride: tuple[int, int] = (1, 1), dilation: int = 1, *, pad: bool = True) -> F32:
    high, wide = ((side - 1) * dilation + 1 for side in kernel.shape[2:])
    if pad:
        x = np.pad(x, ((0, 0), (0, 0), (high // 2, high // 2), (wide // 2, wide // 2)))
    seen = np.lib.stride_tricks.sliding_window_view(x, (high, wide), axis=(2, 3))
    seen = seen[:, :, :: stride[0], :: stride[1], ::dilation, ::dilation]
    return np.asarray(np.tensordot(seen, kernel, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2), np.float32)


def _relu(x: F32) -> F32:
    return np.maximum(x, 0, out=x)


def _twice(x: F32) -> F32:
    return x.repeat(2, axis=2).repeat(2, axis=3)
