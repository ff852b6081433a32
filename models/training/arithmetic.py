"""What the shipped networks compute, operator by operator, and what that should take on a Raspberry Pi.

    python arithmetic.py            # writes the tables of docs/speed/arm.md, and docs/speed/expected.json

Nothing is measured here. Expected times rest on docs/speed/instructions.json (``python -m tests.system.instructions``)
and on the assumptions in ``BOARDS``, which docs/speed/arm.md explains.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import onnx
from onnx import shape_inference

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs/speed/arm.md"
COUNTED, EXPECTED = PAGE.with_name("instructions.json"), PAGE.with_name("expected.json")
# Elements of the inputs as a unit gives them: a picture of 5:3 and one of 4:3, and a row of characters.
INPUTS = {"detector": ((1, 1, 384, 640), (1, 1, 384, 512)), "ocr": ((1, 1, 32, 128),)}
# ONNX Runtime (convsym.cpp) takes convolutions so deep without im2col, if their outputs come in such multiples.
DIRECT_FROM, DIRECT_OUTPUTS = 64, {"Cortex-A72": 8, "Cortex-A76": 16}


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator as the runtime runs it; shapes without the batch, ``read`` and ``written`` in bytes of its tensors.

    ``beside`` are bytes written into buffers of the operator's own and read again: im2col, and sums as int32.
    """

    name: str
    kind: str
    is_int8: bool
    given: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: int
    made: tuple[int, ...]
    macs: int
    read: int
    written: int
    beside: int

    @property
    def intensity(self) -> float:
        """Multiply-accumulates for each byte that goes through memory."""
        return self.macs / (self.read + self.written + 2 * self.beside)


@dataclass(frozen=True, slots=True)
class Board:
    """Assumptions on one core: clock in GHz, multiplying instructions a cycle, and ranges of what is reached.

    ``busy``: share of the cycles in which the multipliers work, in blocks that multiply. ``ipc``: instructions a cycle
    in all others. ``gb_s``: what one core gets from memory.
    """

    processor: str
    ghz: tuple[float, float]
    multiplications: float
    busy: tuple[float, float]
    ipc: tuple[float, float]
    gb_s: float


BOARDS = {
    "Raspberry Pi 4": Board("Cortex-A72", (1.5, 1.8), 1, (0.6, 0.95), (0.9, 2.0), 3.0),
    "Raspberry Pi 5": Board("Cortex-A76", (2.4, 2.4), 2, (0.45, 0.9), (1.2, 2.5), 6.0),
}


def operators(path: Path, size: tuple[int, ...], direct: int = 16) -> Iterator[Operator]:
    """The operators of a network with an input of this size (NCHW), fused as the runtime fuses them.

    Relu, Clip and Sigmoid go with the convolution before them, and quantizing stays as an operator only where float
    begins or ends. ``direct``: see ``DIRECT_OUTPUTS``.
    """
    model = onnx.load(str(path))
    for dimension, value in zip(model.graph.input[0].type.tensor_type.shape.dim, size, strict=True):
        dimension.dim_value = value
    graph = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    shapes = {
        one.name: tuple(dimension.dim_value for dimension in one.type.tensor_type.shape.dim)
        for one in (*graph.value_info, *graph.input, *graph.output)
    } | {one.name: tuple(one.dims) for one in graph.initializer}
    maker = {output: node for node in graph.node for output in node.output}
    takers: dict[str, list[str]] = {}
    for node in graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node.op_type)
    for node in graph.node:
        x, y = node.input[0], node.output[0]
        from_int8 = x in maker and maker[x].op_type == "DequantizeLinear"
        into_int8 = takers.get(y) == ["QuantizeLinear"]
        elements = prod(shapes.get(x, ()))
        if node.op_type in {"Cast", "Sub", "Mul", "Transpose"}:
            read = elements * (1 if node.op_type == "Cast" else 4)
            yield _plain(node, shapes, is_int8=False, read=read, written=elements * 4)
        elif node.op_type == "Pad":
            yield _plain(node, shapes, is_int8=True, read=elements, written=prod(shapes[y]))
        elif node.op_type == "QuantizeLinear" and maker[x].op_type in {"Relu", "Clip"}:
            yield _plain(node, shapes, is_int8=False, read=elements * 4, written=elements)
        elif node.op_type == "Resize" or (node.op_type == "Add" and from_int8):
            given = sum(prod(shapes[name]) for name in node.input if name in maker)
            yield _plain(node, shapes, is_int8=True, read=given, written=prod(shapes[y]))
        elif node.op_type == "Conv":
            yield _convolution(node, shapes, is_int8=from_int8 and into_int8, direct=direct)


def _plain(
    node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]], *, is_int8: bool, read: int, written: int
) -> Operator:
    x, y = node.input[0], node.output[0]
    return Operator("", node.op_type, is_int8, shapes[x][1:], (), 1, shapes.get(y, ())[1:], 0, read, written, 0)


def _convolution(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]], *, is_int8: bool, direct: int) -> Operator:
    attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    given, kernel, made = shapes[node.input[0]], shapes[node.input[1]], shapes[node.output[0]]
    stride = max(attributes["strides"])
    macs = prod(made) * prod(kernel[1:])
    outputs, pixels, size = kernel[0], prod(made[2:]), 1 if is_int8 else 4
    is_point = kernel[2:] == (1, 1) and stride == 1
    is_direct = not is_point and kernel[1] >= DIRECT_FROM and outputs % direct == 0
    beside = 0
    if is_int8 and not is_direct:
        beside = pixels * outputs * 4 + (0 if is_point else pixels * prod(kernel[1:]))
    return Operator(
        _short(node.name.removesuffix("/Conv")), node.op_type, is_int8, given[1:], kernel, stride, made[1:], macs,
        prod(given) * size + prod(kernel) * size + outputs * 4, prod(made) * size, beside,
    )  # fmt: skip


def _short(name: str) -> str:
    """``/detector/down8/down8.1/a/a.0``: ``down8.1/a.0``, for each part begins the next one's name or says nothing."""
    parts = [part for part in name.split("/") if part not in {"", "detector", "net", "body"}]
    return "/".join(part for part, after in zip(parts, [*parts[1:], ""], strict=True) if not after.startswith(part))


def table(found: list[Operator]) -> str:
    """The operators as Markdown, with their sum."""
    lines = [
        "| operator | kind | in | from | kernel, stride | to | MMAC | kB read | kB written | kB beside | MAC a byte |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        kernel = f"{'×'.join(map(str, one.kernel[2:]))}, {one.stride}" if one.kernel else ""
        lines.append(
            f"| {one.name} | {one.kind} | {'int8' if one.is_int8 else 'float'} | {_shape(one.given)} | {kernel} | "
            f"{_shape(one.made)} | {one.macs / 1e6:.2f} | {one.read / 1e3:.0f} | {one.written / 1e3:.0f} | "
            f"{one.beside / 1e3:.0f} | {f'{one.intensity:.1f}' if one.macs else ''} |"
        )
    return "\n".join([*lines, _sums("**sum**", found)])


def _sums(name: str, found: list[Operator]) -> str:
    macs, read, written, beside = (
        sum(getattr(one, of) for one in found) for of in ("macs", "read", "written", "beside")
    )
    return (
        f"| {name} | | | | | | {macs / 1e6:.2f} | {read / 1e3:.0f} | {written / 1e3:.0f} | {beside / 1e3:.0f} | "
        f"{macs / (read + written + 2 * beside):.1f} |"
    )


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def milliseconds(board: Board, told: dict[str, int]) -> tuple[float, float]:
    """Least and most that a pass should take on one core, from what it executes."""
    multiplied = sum(ran for kind, ran in told.items() if kind not in {"all", "multiplying blocks"})
    rest = told["all"] - told["multiplying blocks"]
    least, most = (
        (multiplied / board.multiplications / busy + rest / ipc) / ghz / 1e6
        for busy, ipc, ghz in zip(reversed(board.busy), reversed(board.ipc), reversed(board.ghz), strict=True)
    )
    return least, most


def expected(counted: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """For each board and input: least and most ms, of which the memory alone would take ``memory`` at least."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for board, assumed in BOARDS.items():
        (ran,) = [one for one in counted if one["processor"] == assumed.processor and one["runtime"] != "1.21"]
        for name, told in ran["u8s8"].items():
            kind, size = name.split()
            width, height = map(int, size.split("x"))
            done = operators(
                REPOSITORY / f"models/{kind}.onnx", (1, 1, height, width), DIRECT_OUTPUTS[assumed.processor]
            )
            through = sum(one.read + one.written + 2 * one.beside for one in done)
            least, most = milliseconds(assumed, told)
            found.setdefault(board, {})[name] = {
                "least": round(least, 1), "most": round(most, 1), "memory": round(through / assumed.gb_s / 1e6, 2)
            }  # fmt: skip
    return found


def expected_table(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """The same as Markdown."""
    heads = [f"{board} | its bytes" for board in found]
    lines = [f"| one pass, one thread, ms | {' | '.join(heads)} |", "|---|" + "---|" * 2 * len(found)]
    for name in next(iter(found.values())):
        cells = [
            f"**{of[name]['least']:.0f} to {of[name]['most']:.0f}** | {of[name]['memory']:.1f}" for of in found.values()
        ]
        lines.append(f"| {name.replace('x', '×')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def counted_table(counted: list[dict[str, Any]]) -> str:
    """Instructions of a pass as Markdown: millions."""
    kinds = ("smull, smlal", "udot", "sdot", "fmla", "multiplying blocks", "all")
    lines = [
        f"| millions of instructions | processor, runtime | {' | '.join(kinds)} | all, signed activations |",
        "|---|---|" + "---|" * (len(kinds) + 1),
    ]
    for name in counted[0]["u8s8"]:
        for ran in counted:
            told, signed = ran["u8s8"][name], ran["s8s8"][name]
            cells = [f"{told[kind] / 1e6:.2f}" if kind in told else "" for kind in kinds]
            lines.append(
                f"| {name.replace('x', '×')} | {ran['processor']}, {ran['runtime']} | {' | '.join(cells)} | "
                f"{signed['all'] / 1e6:.2f} ({100 * (signed['all'] / told['all'] - 1):+.0f} %) |"
            )
    return "\n".join(lines)


def write(page: Path, mark: str, text: str) -> None:
    """Put the text between ``<!-- mark -->`` and ``<!-- /mark -->`` of a page."""
    before, begin, rest = page.read_text().partition(f"<!-- {mark} -->")
    _, end, after = rest.partition(f"<!-- /{mark} -->")
    if not end:
        raise SystemExit(f"{page}: has no marks <!-- {mark} --> and <!-- /{mark} -->")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    for kind, sizes in INPUTS.items():
        every = [list(operators(REPOSITORY / f"models/{kind}.onnx", size)) for size in sizes]
        text = table(every[0])
        for size, found in zip(sizes[1:], every[1:], strict=True):
            text += "\n" + _sums(f"**sum at {size[3]}×{size[2]}**", found)
        write(PAGE, kind, text)
    counted = json.loads(COUNTED.read_bytes())
    write(PAGE, "instructions", counted_table(counted))
    times = expected(counted)
    EXPECTED.write_text(json.dumps(times, indent=1) + "\n")
    write(PAGE, "expected", expected_table(times))


if __name__ == "__main__":
    main()
