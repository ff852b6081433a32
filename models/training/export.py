"""From a torch module to what a unit runs: ONNX, static int8 and the model card; for both models."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx
import torch
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

OPSET = 17  # read by onnxruntime 1.21 (Debian 13) and by JetPack's
IR_VERSION = 8


def export_onnx(
    module: nn.Module,
    example: torch.Tensor,
    path: Path,
    input_names: Sequence[str],
    output_names: Sequence[str],
    dynamic_axes: Mapping[str, Mapping[int, str]],
) -> None:
    """Write `module` (put into eval mode) as float ONNX; batch norm is folded into the convolutions."""
    torch.onnx.export(
        module.eval(),
        (example,),
        str(path),
        input_names=list(input_names),
        output_names=list(output_names),
        dynamic_axes={name: dict(axes) for name, axes in dynamic_axes.items()},
        opset_version=OPSET,
        do_constant_folding=True,
        dynamo=False,
    )
    model = onnx.load(str(path))
    model.ir_version = min(model.ir_version, IR_VERSION)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


class _Arrays(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, arrays: Iterable[npt.NDArray[Any]]) -> None:
        self._rest = iter(arrays)
        self._name = name

    def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
        array = next(self._rest, None)
        return None if array is None else {self._name: array}


def convolutions(path: Path) -> list[str]:
    """Return the names of a model's convolution nodes in graph order, to choose which stay in float."""
    return [node.name for node in onnx.load(str(path)).graph.node if node.op_type == "Conv"]


def quantize(
    float_path: Path,
    int8_path: Path,
    calibration_arrays: Iterable[npt.NDArray[Any]],
    exclude_nodes: Sequence[str] | Callable[[list[str]], list[str]] = (),
) -> None:
    """Quantize statically: QDQ, per channel, u8 activations, s8 weights, MinMax ranges.

    `calibration_arrays`: inputs as the model takes them, batch included. `exclude_nodes`: convolutions that
    stay in float, by name or chosen from the pre-processed model's convolution names (it may rename them).
    Best for both models: first convolution and heads in float.
    """
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.onnx"
        quant_pre_process(str(float_path), str(ready), skip_symbolic_shape=True)
        keep = exclude_nodes(convolutions(ready)) if callable(exclude_nodes) else list(exclude_nodes)
        unknown = set(keep) - {node.name for node in onnx.load(str(ready)).graph.node}
        if unknown:
            raise ValueError(f"no such nodes to keep in float: {sorted(unknown)}")
        name = onnx.load(str(ready)).graph.input[0].name
        quantize_static(
            str(ready),
            str(int8_path),
            _Arrays(name, calibration_arrays),
            quant_format=QuantFormat.QDQ,
            # Relu too, though it is absorbed: without it every convolution is followed by a dequantize-quantize pair
            op_types_to_quantize=["Conv", "Add", "Relu"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=keep,
            calibrate_method=CalibrationMethod.MinMax,
        )
    model = onnx.load(str(int8_path))
    model.ir_version = min(model.ir_version, IR_VERSION)
    _shorten(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, str(int8_path))


def _shorten(graph: onnx.GraphProto) -> None:
    """Give tensors short names: torch's and the quantizer's are a twelfth of the detector's file."""
    kept = {value.name for value in (*graph.input, *graph.output)} | {""}
    names = dict(zip(kept, kept, strict=True))
    for node in graph.node:
        node.name = "" if node.op_type in ("QuantizeLinear", "DequantizeLinear") else node.name
        for sides in (node.input, node.output):
            sides[:] = [names.setdefault(name, f"t{len(names)}") for name in sides]
    for tensor in graph.initializer:
        tensor.name = names[tensor.name]
    del graph.value_info[:]  # shapes of tensors within, by their old names; the runtime finds them out itself


def sha256_of(path: Path) -> str:
    """Return the hex digest by which the unit recognises the file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_card(path: Path, **fields: object) -> None:
    """Write the model card `path`; its sha256 is computed from the .onnx of the same name beside it."""
    card = {"schema": "anpr.model/1", **fields, "sha256": sha256_of(path.with_suffix(".onnx"))}
    path.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n")


def macs_of(module: nn.Module, example: torch.Tensor) -> int:
    """Count the multiply-accumulates of the convolutions for one example."""
    total = 0

    def count(layer: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d)
        total += output[0].numel() * layer.weight[0].numel()

    hooks = [m.register_forward_hook(count) for m in module.modules() if isinstance(m, nn.Conv2d)]
    with torch.inference_mode():
        module.eval()(example)
    for hook in hooks:
        hook.remove()
    return total
